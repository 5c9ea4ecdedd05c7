/**
 * How a file appears whole or not at all: its bytes go to a temporary file beside it, which then
 * gets the name. A run that is killed leaves at most the temporary file, which may be deleted.
 */
import { randomBytes } from "node:crypto";
import { closeSync, constants, linkSync, openSync, renameSync, unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { errno } from "./system-error.js";

/** Refuses a symbolic link where a file is opened. Windows has no such flag. */
export const NO_FOLLOW = (constants as { O_NOFOLLOW?: number }).O_NOFOLLOW ?? 0;

/** A name in the same folder that nothing has yet: `.NAME.p11seal-`, eight digits and `.part`. */
export function temporaryBeside(path: string): string {
  const suffix = `.p11seal-${randomBytes(4).toString("hex")}.part`;
  // Common file systems allow 255 bytes; a backup of what is replaced adds ".old".
  const room = 255 - ".".length - suffix.length - ".old".length;
  let kept = basename(path);
  while (Buffer.byteLength(kept) > room) kept = Array.from(kept).slice(0, -1).join("");
  return join(dirname(path), `.${kept}${suffix}`);
}

/** How a temporary file is opened: made now, and no link. On Windows O_EXCL alone refuses one. */
export const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW;

/**
 * Gives it its name, unless something has that name by now: a hard link, unlike a rename, never
 * replaces.
 *
 * @throws an error of Node's with the code `EEXIST`
 */
export function placeNew(temporary: string, path: string): void {
  try {
    linkSync(temporary, path);
    unlinkSync(temporary);
  } catch (error) {
    if (!NO_HARD_LINKS.has(errno(error) ?? "")) throw error;
    // Claims the name, then replaces what is ours.
    closeSync(openSync(path, "wx"));
    try {
      renameSync(temporary, path);
    } catch (refused) {
      unlinkSync(path);
      throw refused;
    }
  }
}

/** FAT and some network file systems. */
const NO_HARD_LINKS: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);
