/**
 * What takes long to make is kept between runs, in one folder for all of a user's projects: shims
 * that were compiled here, token templates, an unpacked SoftHSM. What nobody has used for a month
 * is removed, and what an earlier version left, after a day.
 *
 * An entry's time of change is when it was last used. It appears and goes by a rename, so that
 * others see it whole or not at all, and who finds none makes another.
 */
import { randomBytes } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { ownFolder } from "./folders.js";

/**
 * The folder: `P11SEAL_TESTING_CACHE`, by default `p11seal-testing` in the user's cache folder.
 *
 * @throws FileError `ERR_TEST_FOLDER` if others may write to it
 */
export function cacheFolder(): string {
  const { env } = process;
  const named = env["P11SEAL_TESTING_CACHE"];
  if (named !== undefined && named !== "") return ownFolder(resolve(named));
  // XDG Base Directory Specification: relative paths are to be ignored.
  const xdg = env["XDG_CACHE_HOME"] ?? "";
  const caches = isAbsolute(xdg) ? xdg : join(env["HOME"] ?? homedir(), ".cache");
  return ownFolder(join(caches, "p11seal-testing"));
}

/** The path of an entry. `name` is a hash of what it is made from, and may have an ending. */
export function cachePath(kind: "shim" | "token", name: string): string {
  return join(cacheFolder(), `${kind}-${LAYOUT}-${name}`);
}

/** A new folder to make an entry in. Whoever makes it removes it. */
export function folderForMaking(): string {
  return mkdtempSync(join(cacheFolder(), "making-"));
}

/** Notes that an entry is used now. */
export function noteUse(path: string): void {
  try {
    const now = new Date();
    utimesSync(path, now, now);
  } catch {
    // It is gone, or lies where nothing can be written: then it does not matter.
  }
}

/** Removes what nobody needs any more. Looks once a day. */
export function pruneCache(): void {
  try {
    const folder = cacheFolder();
    const stamp = join(folder, "pruned");
    if (ageMs(stamp) < DAY_MS) return;
    writeFileSync(stamp, "", { mode: 0o600 });
    noteUse(stamp);
    for (const name of readdirSync(folder)) {
      const longest = keptMs(name);
      if (longest !== undefined) removeIfUnused(folder, name, longest);
    }
  } catch {
    // Another process is at it, or the disk is read-only. A cache that is too large harms nobody.
  }
}

// ── Details ──

/** Raise it when entries made before would not do. */
const LAYOUT = 3;

const DAY_MS = 86_400_000;
const MONTH_MS = 30 * DAY_MS;

const ENTRY = /^(?:shim|token)-([0-9]{1,4})-[0-9a-f]{16,24}(?:\.so)?(?:\.lock)?$/;

/** Up to layout 2, and folders in which a process that was killed made or removed something. */
const OLD =
  /^(?:softhsm|(?:shim|token)-[0-9a-f]{16,24}(?:\.so|-[0-9]+\.new)?|(?:making|unpack|gone)-\w{6})$/;

/**
 * How long an entry is kept unused; undefined for what is none: the user may have named any folder.
 */
function keptMs(name: string): number | undefined {
  const layout = ENTRY.exec(name)?.[1];
  if (layout !== undefined) return Number(layout) < LAYOUT ? DAY_MS : MONTH_MS;
  if (/^softhsm-[a-z0-9._-]+$/.test(name)) return MONTH_MS;
  return OLD.test(name) ? DAY_MS : undefined;
}

function removeIfUnused(folder: string, name: string, longestMs: number): void {
  const path = join(folder, name);
  if (ageMs(path) <= longestMs) return;
  const gone = join(folder, `gone-${randomBytes(3).toString("hex")}`);
  try {
    renameSync(path, gone);
    // Somebody may have begun to use it between the look and the rename.
    if (ageMs(gone) <= longestMs && !existsSync(path)) renameSync(gone, path);
  } catch {
    // Another process was faster.
  }
  rmSync(gone, { recursive: true, force: true });
}

/** How long ago something was used, milliseconds; of nothing, infinitely long ago. */
function ageMs(path: string): number {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats === undefined ? Infinity : Date.now() - stats.mtimeMs;
}
