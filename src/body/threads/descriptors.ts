/** Writes of a thread that has nothing else to do, and so may wait for them. */
import { closeSync, constants, fstatSync, openSync, writevSync } from "node:fs";
import { after } from "../../bytes.js";
import { FileFailure } from "./failure.js";

/**
 * A descriptor for what `fd` is, whose writes wait until the reader has taken them. Whether a pipe's do
 * is a property that all who hold it share, and Node has it that they don't; opened once more, through
 * the kernel's list of our descriptors, it has properties of its own. Where that can't be, `fd`.
 */
export function blockingDescriptor(fd: number): number {
  let reader: number | undefined;
  try {
    if (!fstatSync(fd).isFIFO()) return fd;
    const path = `/proc/self/fd/${fd}`;
    // To open a FIFO for writing waits for a reader, and ours may be gone: until it is open we are one.
    reader = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    return openSync(path, constants.O_WRONLY);
  } catch {
    return fd; // No such list here, or the pipe is another user's.
  } finally {
    if (reader !== undefined) closeSync(reader);
  }
}

/**
 * All of it, one part after the other: at `position`, or where the last write ended. Waits for a
 * descriptor that does not.
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

/** Undefined: nothing can be written now. */
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

/** Nobody wakes who waits for this. */
const NEVER = new Int32Array(new SharedArrayBuffer(4));

const MIN_PAUSE_MS = 0.05;
const MAX_PAUSE_MS = 10;
