/** The bytes of an open file, for readers of messages. */
import type { FileHandle } from "node:fs/promises";
import { fileError } from "./system-error.js";

/**
 * @param path - for errors
 * @param from - where to begin, in bytes
 * @throws FileError `ERR_READ`
 */
export async function* fileChunks(
  handle: FileHandle,
  path: string,
  from = 0,
): AsyncGenerator<Uint8Array, void, undefined> {
  // Headers are short; what comes after them is read in large pieces.
  let length = FIRST_BYTES;
  for (let at = from; ; length = PIECE_BYTES) {
    const bytes = new Uint8Array(length);
    const { bytesRead } = await handle.read(bytes, 0, length, at).catch((error: unknown) => {
      throw fileError("ERR_READ", path, error);
    });
    if (bytesRead === 0) return;
    at += bytesRead;
    yield bytes.subarray(0, bytesRead);
  }
}

const FIRST_BYTES = 8192;
const PIECE_BYTES = 256 * 1024;
