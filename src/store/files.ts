/**
 * The files of the user's data folder: only their owner can write them, they are replaced as a
 * whole, and they are on the disk before anyone relies on them.
 */
import { constants, realpathSync, type Stats, statSync } from "node:fs";
import { lstat, mkdir, open, rename, stat, unlink } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { FileError, PolicyError } from "../errors.js";
import { modeHint, openFolderAbove } from "./file-modes.js";
import { removeLeftovers } from "./leftovers.js";
import { readRegular } from "./regular-file.js";
import { errno, fileError, isDiskFull, quoted, reason } from "./system-error.js";
import { CREATE, ownTemporaryBeside } from "./temporary.js";

/** Makes the folder, and those above it, for their owner alone. An existing one stays as it is. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const fact = `cannot make the folder ${quoted(path)}: ${reason(error)}`;
    throw new FileError("ERR_WRITE", fact, { cause: error });
  }
}

/**
 * Refuses a data folder that others can write to: whoever can, replaces any file in it. A sticky
 * one (/tmp) is left to the checks of each file. Refuses also, as ssh's StrictModes does, one that
 * others can replace, in a folder above it. One that isn't there is no danger.
 *
 * @throws PolicyError `ERR_UNSAFE_FILE`
 */
export function requireOwnFolder(path: string): void {
  const folder = statSync(path, { throwIfNoEntry: false });
  if (folder === undefined) return;
  refuseOthers(path, folder, (folder.mode & 0o1000) !== 0);
  const fact = openFolderAbove(resolve(path), realpathSync(path));
  if (fact === undefined) return;
  throw new PolicyError("ERR_UNSAFE_FILE", `"${path}" ${fact}`, {
    hint: "make that folder yours or root's, and take the others' right to write (chmod go-w)",
  });
}

/**
 * Refuses a folder in the data folder, and what is in it, if others can write to either.
 *
 * @throws PolicyError `ERR_UNSAFE_FILE`
 */
export function requireOwnPaths(folder: string, inside: readonly string[]): void {
  // Most data folders have none, and every command pays for a look.
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) return;
  for (const path of [folder, ...inside]) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats !== undefined) refuseOthers(path, stats, false);
  }
}

/**
 * Whether there is a file at `path`. It must be regular, and ours, and nobody else may be able to
 * write or replace it: whoever can, decides whom we trust and what we remember.
 *
 * @throws PolicyError `ERR_UNSAFE_FILE`; FileError `ERR_READ`
 */
export async function fileState(path: string): Promise<"present" | "absent"> {
  const folder = await statsOf(dirname(path), stat);
  if (folder === undefined) return "absent";
  // In a sticky folder (/tmp) only the owner of a file can replace it (chmod(1), "restricted
  // deletion").
  refuseOthers(dirname(path), folder, (folder.mode & 0o1000) !== 0);
  const file = await statsOf(path, lstat);
  if (file === undefined) return "absent";
  if (!file.isFile()) throw unsafe(path, "is not a regular file");
  refuseOthers(path, file, false);
  return "present";
}

/**
 * The file's bytes, or `undefined` if there is no such file.
 *
 * @throws as `fileState` and `readRegular`
 */
export async function readWhole(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
  if ((await fileState(path)) === "absent") return undefined;
  return (await readRegular(path, maxBytes))?.bytes;
}

/**
 * Replaces the file at `path` with one that has these bytes, or makes it: all or nothing, and on
 * the disk when this resolves.
 *
 * @throws FileError `ERR_WRITE`
 */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  removeLeftovers(dirname(path));
  const temporary = ownTemporaryBeside(path);
  try {
    const handle = await open(temporary, CREATE, 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    const hint = isDiskFull(error) ? "make room on that disk; nothing was changed" : undefined;
    throw fileError("ERR_WRITE", path, error, hint);
  }
}

/** Waits until the names in a folder are on the disk. Windows can't, and does it by itself. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

// ── Details ──

async function statsOf(
  path: string,
  look: (path: string) => Promise<Stats>,
): Promise<Stats | undefined> {
  return look(path).catch((error: unknown) => {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return undefined;
    throw fileError("ERR_READ", path, error);
  });
}

function refuseOthers(path: string, stats: Stats, sticky: boolean): void {
  // Windows has no such ids and modes; there, the folder's access control list protects it.
  const user = process.getuid?.();
  if (user === undefined) return;
  if (stats.uid !== user && stats.uid !== 0) throw unsafe(path, "belongs to another user");
  if (!sticky && (stats.mode & 0o022) !== 0) throw unsafe(path, "can be written by others");
}

function unsafe(path: string, fact: string): PolicyError {
  return new PolicyError("ERR_UNSAFE_FILE", `"${path}" ${fact}`, {
    hint: modeHint(
      path,
      "it must belong to you, and nobody else may write to it (chmod go-w)",
      "set P11SEAL_HOME to a folder on another file system",
    ),
  });
}
