/** Blocking writes, for a thread that has nothing else to do. */
import { closeSync, constants, fstatSync, openSync, writevSync } from "node:fs";
import { after } from "../../bytes.js";
import { FileFailure } from "./failure.js";

/**
 * A descriptor for the same pipe as `fd` whose writes block until the reader has taken them.
 * Blocking is a property of the open pipe, which Node has switched off for everyone who shares it.
 * Opened anew through the kernel's list of our descriptors, it has properties of its own.
 * Returns `fd` where that is not possible.
 */
export function blockingDescriptor(fd: number): number {
  let reader: number | undefined;
  try {
    if (!fstatSync(fd).isFIFO()) return fd;
    const path = `/proc/self/fd/${fd}`;
    // Opening a FIFO for writing waits for a reader, and ours may be gone: we stand in for it.
    reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    return openSync(path, constants.O_WRONLY);
  } catch {
    return fd; // The system has no such list, or the pipe belongs to another user.
  } finally {
    if (reader !== undefined) closeSync(reader);
  }
}

/**
 * Writes all parts, one after the other: at `position`, or where the last write ended. Waits and
 * tries again where the descriptor does not block.
 *
 * @throws FileFailure
 */
export function writeFully(
  fd: number,
  parts: readonly Uint8Array[],
  position: number | undefined,
): void {
  let rest = [...parts];
  let at = position;
  let pauseMs = MIN_PAUSE_MS;
  while (rest.length > 0) {
    const written = tryWrite(fd, rest, at);
    if (written === undefined) {
      Atomics.wait(NEVER, 0, 0, pauseMs);
      pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
      continue;
    }
    pauseMs = MIN_PAUSE_MS;
    if (at !== undefined) at += written;
    rest = after(rest, written);
  }
}

/** The number of bytes written; undefined if none can be written now. */
function tryWrite(
  fd: number,
  parts: readonly Uint8Array[],
  position: number | undefined,
): number | undefined {
  try {
    return writevSync(fd, parts, position);
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "EAGAIN") return undefined;
    throw new FileFailure("write", code ?? "EIO");
  }
}

/** A wait on this ends only at its time limit. */
const NEVER = new Int32Array(new SharedArrayBuffer(4));

const MIN_PAUSE_MS = 0.05;
const MAX_PAUSE_MS = 10;
