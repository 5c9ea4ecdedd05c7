/**
 * Waiting for the disk: for what was written to a file, and for the names in a folder. Where many
 * files of one folder get their names at about the same time, they share a flush that begins once
 * each of them has its name.
 */
import { closeSync, constants, fsync, fsyncSync, openSync } from "node:fs";
import { errno } from "./system-error.js";

/** Waits until what was written to a file is on the disk. @throws an error of Node's */
export function flush(descriptor: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(descriptor, (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

interface Flushes {
  /** The one under way may have begun before the last name was there. Never rejects. */
  running: Promise<void>;
  /** The one after it, for all who come meanwhile. */
  next?: Promise<void>;
}

const flushes = new Map<string, Flushes>();

/** Resolves once each name that the folder has now is on the disk. @throws an error of Node's */
export function syncFolder(path: string): Promise<void> {
  // Windows can't, and does it by itself.
  if (process.platform === "win32") return Promise.resolve();
  const known = flushes.get(path);
  if (known === undefined) return begin(path);
  known.next ??= known.running.then(() => begin(path));
  return known.next;
}

/**
 * As `syncFolder`, for names that an earlier run may have left unflushed. A folder that can't be
 * asked for that stays as it is: one that we may not read, or whose file system has no such call or
 * is read-only.
 */
export async function syncIfPossible(path: string): Promise<void> {
  try {
    await syncFolder(path);
  } catch (error) {
    if (!NO_FLUSH.has(errno(error) ?? "")) throw error;
  }
}

/** open(2) and fsync(2). */
const NO_FLUSH: ReadonlySet<string> = new Set([
  ...["EACCES", "EPERM", "EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EROFS"],
]);

/** As `syncFolder`, while everything waits. */
export function syncFolderSync(path: string): void {
  if (process.platform === "win32") return;
  const descriptor = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function begin(path: string): Promise<void> {
  const folder = flushed(path);
  const mine: Flushes = { running: Promise.resolve() };
  const done = (): void => {
    if (mine.next === undefined) flushes.delete(path);
  };
  mine.running = folder.then(done, done);
  flushes.set(path, mine);
  return folder;
}

async function flushed(path: string): Promise<void> {
  const descriptor = openSync(path, constants.O_RDONLY);
  try {
    await flush(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
