/**
 * Where the rules for an output lie: in its own folder and in those above it. Never in the working
 * folder, which says nothing of where the file goes. What a symbolic link leads to counts, not
 * where the link is: an output's folder is its real one.
 *
 * The search ends below a mount point, at the root of the file system, and where a file says
 * `root = true`, which its reader (`rule-book.ts`) sees. Most outputs have no rules at all, so this
 * loads nothing, and asks the file system twice for each folder.
 */
import { lstatSync, realpathSync, statSync, type Stats } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { PolicyError, UsageError } from "../../errors.js";
import { errno, fileError, quoted } from "../../store/system-error.js";

export const RULES_FILE = "p11seal-rules.toml";

/** Where a file is, or will be. */
export interface Place {
  /** Its real folder, absolute. */
  readonly folder: string;
  /** The same as it was given. */
  readonly reached: string;
  /** Its base name. */
  readonly name: string;
}

/**
 * Where the file at `path` is, or will be: folders that are not there yet are made where their
 * names say. The file itself may be missing.
 *
 * @throws UsageError `ERR_USAGE`: no name of a file; FileError `ERR_READ`
 */
export function placeOf(path: string): Place {
  const name = basename(path);
  if (name === "" || name === "." || name === "..") {
    throw new UsageError("ERR_USAGE", `${quoted(path)} is not the name of a file`);
  }
  const reached = dirname(path);
  return { folder: realFolder(reached), reached, name };
}

/**
 * The rules files in a file's folder and above it, the nearest first.
 *
 * @throws FileError `ERR_READ`; PolicyError `ERR_RULES`: there are some, and the folder has a name
 *   that no rule can match
 */
export function rulesFilesAbove({ folder, reached }: Pick<Place, "folder" | "reached">): string[] {
  if (!hasName({ folder })) {
    requireNone(reached);
    return [];
  }
  const found: string[] = [];
  for (const above of foldersAbove(folder)) {
    const path = join(above, RULES_FILE);
    if (isThere(path)) found.push(path);
  }
  return found;
}

/** False where several folders have what Node gives for their names, which are not UTF-8. */
export function hasName({ folder }: Pick<Place, "folder">): boolean {
  return !folder.includes("\u{fffd}");
}

/**
 * The names from a folder down to the file, for `PathGlob`.
 *
 * @param separator - between names in paths, by default this system's
 */
export function namesBelow(folder: string, place: Place, separator = sep): readonly string[] {
  const below = relative(folder, place.folder);
  return [...(below === "" ? [] : below.split(separator)), place.name];
}

// ── Details ──

/** A folder, and those above it on the same file system. */
function* foldersAbove(folder: string): Generator<string, void, undefined> {
  let dev: number | undefined;
  for (let here = folder; ; here = dirname(here)) {
    const stats = statsOf(here);
    if (stats !== undefined && stats.dev !== (dev ??= stats.dev)) return;
    yield here;
    if (dirname(here) === here) return;
  }
}

/**
 * Node gives other characters for bytes in a name that are not UTF-8, so there is no path to look
 * at. The kernel's own way up needs none.
 */
function requireNone(folder: string): void {
  let seen: Stats | undefined;
  for (let here = folder; ; here = `${here}${sep}..`) {
    const stats = statsOf(here);
    if (stats === undefined || (seen !== undefined && stats.dev !== seen.dev)) return;
    if (isThere(`${here}${sep}${RULES_FILE}`)) {
      throw new PolicyError("ERR_RULES", `the name of the folder ${quoted(folder)} is not UTF-8`, {
        hint: "there are rules for it, which no such name can match; rename the folder",
      });
    }
    if (seen?.ino === stats.ino) return;
    seen = stats;
  }
}

/** Of a folder still to be made: where its names lead to from the last one that is there. */
function realFolder(path: string): string {
  try {
    // The system's own, as it opens files: Node's takes `link/..` for the link's folder.
    return realpathSync.native(path);
  } catch (error) {
    const isMissing = errno(error) === "ENOENT" || errno(error) === "ENOTDIR";
    const name = basename(path);
    if (!isMissing || dirname(path) === path || name === "..") {
      throw fileError("ERR_READ", path, error);
    }
    return join(realFolder(dirname(path)), name);
  }
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw fileError("ERR_READ", path, error);
  }
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw fileError("ERR_READ", path, error);
  }
}
