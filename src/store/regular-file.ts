/**
 * Reads a small file that may be anybody's, by its very name: no link is followed, and nothing that
 * waits for a writer or never ends is read.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from "node:fs";
import { FileError } from "../errors.js";
import { isNotOpenable, NO_FOLLOW, NO_WAITING } from "./open-flags.js";
import { errno, fileError, quoted } from "./system-error.js";

export interface RegularFile {
  readonly bytes: Uint8Array;
  /** Of the file that was read, whatever has its name by now. */
  readonly stats: Stats;
}

/**
 * @returns undefined if there is no such file
 * @throws FileError `ERR_READ`, `ERR_FILE_SIZE`, `ERR_FILE_KIND`: a link, folder, FIFO, …
 */
export function readRegular(path: string, maxBytes: number): Promise<RegularFile | undefined> {
  return new Promise((resolve) => {
    resolve(readRegularSync(path, maxBytes));
  });
}

/** As `readRegular`. */
export function readRegularSync(path: string, maxBytes: number): RegularFile | undefined {
  const descriptor = opened(path);
  if (descriptor === undefined) return undefined;
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile()) throw notRegular(path);
    if (stats.size > maxBytes) throw tooLong(path, maxBytes);
    const bytes = new Uint8Array(readFileSync(descriptor));
    if (bytes.length > maxBytes) throw tooLong(path, maxBytes);
    return { bytes, stats };
  } catch (error) {
    throw error instanceof FileError ? error : fileError("ERR_READ", path, error);
  } finally {
    closeSync(descriptor);
  }
}

// ── Details ──

function opened(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | NO_FOLLOW | NO_WAITING);
  } catch (error) {
    if (errno(error) === "ENOENT") return undefined;
    if (isNotOpenable(error)) throw notRegular(path);
    throw fileError("ERR_READ", path, error);
  }
}

function notRegular(path: string): FileError {
  return new FileError("ERR_FILE_KIND", `${quoted(path)} is not a regular file`, {
    hint: "put the file itself there, not a link",
  });
}

function tooLong(path: string, maxBytes: number): FileError {
  return new FileError("ERR_FILE_SIZE", `${quoted(path)} has more than ${maxBytes} bytes`);
}
