/**
 * Where test tokens live: a folder of their own for each, which names the process that made it. It
 * is removed when the token is closed or the process exits, and after a kill by the next process
 * that makes a token.
 */
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { FileError } from "../errors.js";
import { isRunning, thisProcess } from "../store/owner.js";

/** The folder for the folders of tokens. */
export function tokensFolder(): string {
  return ownFolder(join(realpathSync(tmpdir()), `p11seal-testing-${userInfo().uid}`));
}

/** A new, empty folder, 0700. */
export function newTokenFolder(): string {
  const parent = tokensFolder();
  sweep(parent);
  const folder = mkdtempSync(join(parent, `${thisProcess()}${SEPARATOR}`));
  if (open.size === 0) process.once("exit", removeAll);
  open.add(folder);
  return folder;
}

/** Removes it and what is in it. */
export function removeTokenFolder(folder: string): void {
  open.delete(folder);
  if (open.size === 0) process.removeListener("exit", removeAll);
  rmSync(folder, { recursive: true, force: true });
}

/**
 * Makes the folder unless it is there.
 *
 * @throws FileError `ERR_TEST_FOLDER` for one that is somebody else's
 */
export function ownFolder(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stats = lstatSync(path);
  const isOwn = stats.isDirectory() && stats.uid === (process.getuid?.() ?? stats.uid);
  // A library from it is loaded into this process.
  if (isOwn && (stats.mode & 0o022) === 0) return path;
  throw new FileError("ERR_TEST_FOLDER", `"${path}" is not a folder that only you can write to`, {
    hint: "remove it, or name another one in TMPDIR or P11SEAL_TESTING_CACHE",
  });
}

// ── Details ──

/** Folders of this process. */
const open = new Set<string>();

/** Between the process in a folder's name and what makes the name unique. */
const SEPARATOR = "~";

let didSweep = false;

function removeAll(): void {
  for (const folder of open) rmSync(folder, { recursive: true, force: true });
}

/** Removes folders of processes that have ended. */
function sweep(parent: string): void {
  if (didSweep) return;
  didSweep = true;
  for (const name of readdirSync(parent)) {
    const [owner = ""] = name.split(SEPARATOR);
    if (isRunning(owner) !== false) continue;
    rmSync(join(parent, name), { recursive: true, force: true });
  }
}
