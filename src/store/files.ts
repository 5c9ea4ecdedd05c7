/**
 * The files of the user's data folder: only their owner can write them, they are replaced as a
 * whole, and they are on the disk before anyone relies on them.
 *
 * They are small, and most calls take microseconds, less than handing them to another thread and
 * back. Only what waits for the disk is left to one.
 */
import {
  closeSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { type FileError, PolicyError } from "../errors.js";
import { modeHint, openFolderAbove } from "./file-modes.js";
import { flush, syncFolder } from "./flush.js";
import { removeLeftovers } from "./leftovers.js";
import { readRegularSync } from "./regular-file.js";
import { errno, fileError, isDiskFull } from "./system-error.js";
import { CREATE, ownTemporaryBeside } from "./temporary.js";

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
export function fileState(path: string): Promise<FileState> {
  return settled(() => stateOf(path));
}

type FileState = "present" | "absent";

function stateOf(path: string): FileState {
  const folder = statsOf(dirname(path), statSync);
  if (folder === undefined) return "absent";
  // In a sticky folder (/tmp) only the owner of a file can replace it (chmod(1), "restricted
  // deletion").
  refuseOthers(dirname(path), folder, (folder.mode & 0o1000) !== 0);
  const file = statsOf(path, lstatSync);
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
export function readWhole(path: string, maxBytes: number): Promise<Uint8Array | undefined> {
  return settled(() =>
    stateOf(path) === "absent" ? undefined : readRegularSync(path, maxBytes)?.bytes,
  );
}

/**
 * Replaces the file at `path` with one that has these bytes, or makes it: all or nothing, and on
 * the disk when this resolves.
 *
 * @throws FileError `ERR_WRITE`
 */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const made = replacement(path, bytes);
  await made.flush();
  made.place();
  await syncFolder(dirname(path)).catch((error: unknown) => {
    throw notWritten(path, error);
  });
}

/** New content for a file, in a temporary file beside it. Where a step fails, that is removed. */
export interface Replacement {
  /** Waits until the content is on the disk. @throws FileError `ERR_WRITE` */
  flush(): Promise<void>;
  /** Gives it the file's name: after a crash the file has either content. @throws as `flush` */
  place(): void;
  /** Removes it, if it has no name yet. */
  discard(): void;
}

/** @throws FileError `ERR_WRITE` */
export function replacement(path: string, bytes: Uint8Array): Replacement {
  removeLeftovers(dirname(path));
  const temporary = ownTemporaryBeside(path);
  let descriptor: number | undefined;
  const close = (): void => {
    const open = descriptor;
    descriptor = undefined;
    if (open !== undefined) closeSync(open);
  };
  const discard = (): void => {
    try {
      close();
      unlinkSync(temporary);
    } catch {
      // What failed before says more.
    }
  };
  const failed = (error: unknown): FileError => {
    discard();
    return notWritten(path, error);
  };
  try {
    descriptor = openSync(temporary, CREATE, 0o600);
    writeFileSync(descriptor, bytes);
  } catch (error) {
    throw failed(error);
  }
  const written = descriptor;
  return {
    flush: () =>
      flush(written)
        .then(close)
        .catch((error: unknown) => {
          throw failed(error);
        }),
    place: () => {
      try {
        renameSync(temporary, path);
      } catch (error) {
        throw failed(error);
      }
    },
    discard,
  };
}

// ── Details ──

/** Done at once, for callers that wait for it. */
function settled<T>(action: () => T): Promise<T> {
  return new Promise((resolve) => {
    resolve(action());
  });
}

function statsOf(
  path: string,
  look: (path: string, options: { throwIfNoEntry: false }) => Stats | undefined,
): Stats | undefined {
  try {
    return look(path, { throwIfNoEntry: false });
  } catch (error) {
    if (errno(error) === "ENOTDIR") return undefined;
    throw fileError("ERR_READ", path, error);
  }
}

function notWritten(path: string, error: unknown): FileError {
  const hint = isDiskFull(error) ? "make room on that disk; nothing was changed" : undefined;
  return fileError("ERR_WRITE", path, error, hint);
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
