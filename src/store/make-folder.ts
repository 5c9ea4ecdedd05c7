/**
 * Makes a folder whose name is on the disk before anything in it is. Otherwise a power cut could
 * take a whole new data folder away, whatever was flushed in it.
 *
 * A run may be killed between making a folder and flushing its name; then it is empty. So whoever
 * finds an empty one flushes as if it were new, and one that has something in it was flushed by
 * whoever made it.
 */
import { mkdirSync, opendirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { FileError } from "../errors.js";
import { syncIfPossible } from "./flush.js";
import { errno, quoted, reason } from "./system-error.js";

/**
 * Makes the folder, and those above it, for their owner alone. An existing one stays as it is.
 *
 * @throws FileError `ERR_WRITE`
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await make(resolve(path));
  } catch (error) {
    const fact = `cannot make the folder ${quoted(path)}: ${reason(error)}`;
    throw new FileError("ERR_WRITE", fact, { cause: error });
  }
}

async function make(path: string): Promise<void> {
  if (hasEntries(path)) return;
  const above = dirname(path);
  if (above !== path) await make(above);
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (errno(error) !== "EEXIST" || !statSync(path).isDirectory()) throw error;
  }
  await syncIfPossible(above);
}

/** Of one that can't be looked into, whoever uses it says what is wrong. */
function hasEntries(path: string): boolean {
  try {
    const folder = opendirSync(path, { bufferSize: 1 });
    try {
      return folder.readSync() !== null;
    } finally {
      folder.closeSync();
    }
  } catch (error) {
    return !ABSENT.has(errno(error) ?? "");
  }
}

const ABSENT: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR"]);
