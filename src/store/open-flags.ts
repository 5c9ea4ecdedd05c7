/** How a file is opened that anybody may have put there. Windows has no such flags. */
import { constants } from "node:fs";
import { errno } from "./system-error.js";

const FLAGS: { readonly O_NOFOLLOW?: number; readonly O_NONBLOCK?: number } = constants;

/** Refuses a symbolic link. */
export const NO_FOLLOW = FLAGS.O_NOFOLLOW ?? 0;

/** Opens a FIFO without waiting for its other end. */
export const NO_WAITING = FLAGS.O_NONBLOCK ?? 0;

/**
 * Whether the system refused to open a link with `NO_FOLLOW`, or a socket. Linux and macOS say
 * ELOOP of the link, FreeBSD EMLINK; ENXIO is what all say of a socket.
 */
export function isNotOpenable(error: unknown): boolean {
  return KINDS_REFUSED.has(errno(error) ?? "");
}

const KINDS_REFUSED: ReadonlySet<string> = new Set(["ELOOP", "EMLINK", "ENXIO"]);
