/**
 * The directory's files in the data folder: `senders.toml`, `custodians.toml` and
 * `recipients.toml`. Each change reads, checks and replaces a whole file under a lock: two runs at
 * once lose nothing, and a crash leaves the old file or the new one.
 *
 * A list of recipients written by hand (`recipients-file.ts`) is another file. It is never written
 * here.
 */
import { dirname, join } from "node:path";
import { ascii } from "../../bytes.js";
import { readWhole, writeWhole } from "../../store/files.js";
import { syncIfPossible } from "../../store/flush.js";
import { makeFolder } from "../../store/make-folder.js";
import { withLock } from "../../store/lock.js";
import {
  requireEntry,
  withEntry,
  withoutEntry,
  type DirectoryEntry,
  type DirectoryKind,
} from "./directory.js";
import {
  directoryText,
  formatDirectory,
  MAX_DIRECTORY_BYTES,
  parseDirectory,
} from "./directory-format.js";

/** The list's file in the data folder. */
export function directoryPath(folder: string, kind: DirectoryKind): string {
  return join(folder, `${kind}.toml`);
}

/**
 * All entries, in the order they were added; none if there is no file.
 *
 * @throws those of `parseDirectory`; PolicyError `ERR_UNSAFE_FILE`; FileError `ERR_READ`
 */
export async function readDirectory(
  folder: string,
  kind: DirectoryKind,
): Promise<DirectoryEntry[]> {
  const path = directoryPath(folder, kind);
  const bytes = await readWhole(path, MAX_DIRECTORY_BYTES);
  return bytes === undefined ? [] : parseDirectory(directoryText(bytes, path), kind, path);
}

/**
 * Adds an entry. If the name has that key already, it gets the new limits. `addedMs` is cut to
 * whole seconds.
 *
 * @returns true if the name is new
 * @throws those of `readDirectory` and `withEntry`; FileError `ERR_WRITE`, `ERR_LOCKED`
 */
export async function addEntry(
  folder: string,
  kind: DirectoryKind,
  entry: DirectoryEntry,
): Promise<boolean> {
  return change(folder, kind, (entries) => {
    const changed = withEntry(entries, inSeconds(entry), kind);
    return { changed, result: changed.length > entries.length };
  });
}

/**
 * Removes an entry and returns it.
 *
 * @throws UsageError `ERR_NAME_UNKNOWN`; else as `addEntry`
 */
export async function removeEntry(
  folder: string,
  kind: DirectoryKind,
  name: string,
): Promise<DirectoryEntry> {
  return change(folder, kind, (entries) => ({
    changed: withoutEntry(entries, name),
    result: requireEntry(entries, name),
  }));
}

async function change<T>(
  folder: string,
  kind: DirectoryKind,
  edit: (entries: DirectoryEntry[]) => { changed: DirectoryEntry[]; result: T },
): Promise<T> {
  const path = directoryPath(folder, kind);
  await makeFolder(dirname(path));
  return withLock(`${path}.lock`, async (lock) => {
    const entries = await readDirectory(folder, kind);
    const { changed, result } = await orFlushed(folder, () => edit(entries));
    await lock.confirm();
    await writeWhole(path, ascii(formatDirectory(changed, kind)));
    return result;
  });
}

/**
 * A refusal, as of a name that is not there, says how things are: a run that was killed may have
 * changed them and not have waited for the disk.
 */
async function orFlushed<T>(folder: string, edit: () => T): Promise<T> {
  try {
    return edit();
  } catch (error) {
    await syncIfPossible(folder);
    throw error;
  }
}

/** The file holds whole seconds. A limit is rounded to the stricter side. */
function inSeconds(entry: DirectoryEntry): DirectoryEntry {
  const { addedMs, notBeforeMs, notAfterMs } = entry;
  const down = (ms: number): number => Math.floor(ms / 1000) * 1000;
  return {
    ...entry,
    addedMs: down(addedMs),
    ...(notBeforeMs !== undefined && { notBeforeMs: Math.ceil(notBeforeMs / 1000) * 1000 }),
    ...(notAfterMs !== undefined && { notAfterMs: down(notAfterMs) }),
  };
}
