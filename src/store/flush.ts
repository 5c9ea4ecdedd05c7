/**
 * Waiting for the disk: for what was written to a file, and for the names in a folder. Where many
 * files of one folder get their names at about the same time, they share a flush that begins once
 * each of them has its name.
 */
import { closeSync, constants, fsync, fsyncSync, openSync } from "node:fs";

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
