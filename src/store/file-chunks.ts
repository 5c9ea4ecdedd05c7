/** The bytes of an open file, for readers of messages. */
import { read, readSync } from "node:fs";
import { promisify } from "node:util";
import { fileError } from "./system-error.js";

/**
 * @param fd - the file's descriptor
 * @param path - for errors
 * @param from - where to begin, in bytes
 * @throws FileError `ERR_READ`
 */
export async function* fileChunks(
  fd: number,
  path: string,
  from = 0,
): AsyncGenerator<Uint8Array, void, undefined> {
  // Headers are short; what comes after them is read in large pieces.
  let length = FIRST_BYTES;
  for (let at = from; ; length = PIECE_BYTES) {
    const bytes = new Uint8Array(length);
    const filled = await filledFrom(fd, bytes, at).catch((error: unknown) => {
      throw fileError("ERR_READ", path, error);
    });
    if (filled === 0) return;
    at += filled;
    yield bytes.subarray(0, filled);
  }
}

/** To have a thread read a header takes longer than to read it. */
async function filledFrom(fd: number, target: Uint8Array, position: number): Promise<number> {
  if (target.length <= FIRST_BYTES) return readSync(fd, target, 0, target.length, position);
  return (await promisify(read)(fd, target, 0, target.length, position)).bytesRead;
}

const FIRST_BYTES = 8192;
const PIECE_BYTES = 256 * 1024;
