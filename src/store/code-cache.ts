/**
 * Compiled code, which Node keeps from one run to the next, from version 22.1 on. Compiling is a
 * quarter of the cost of starting. Whatever lies in the folder is executed, so the folder is used
 * only if nobody else can write to it. Otherwise code is compiled on each run.
 */
import { lstatSync, mkdirSync, statSync, type Stats } from "node:fs";
import nodeModule from "node:module";
import { isAbsolute, join } from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * From here on, compiled code is kept and looked for, though not with `P11SEAL_CODE_CACHE=0`.
 * Returns the folder it is kept in, or undefined.
 */
export function useCodeCache(env: Environment, enable = enableCompileCache): string | undefined {
  if (enable === undefined || env["P11SEAL_CODE_CACHE"] === "0") return undefined;
  const caches = cachesFolder(env);
  if (caches === undefined) return undefined;
  const folder = join(caches, "p11seal");
  try {
    mkdirSync(caches, { recursive: true, mode: 0o700 });
    if (!isOurs(statSync(caches))) return undefined;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (!isOurs(lstatSync(folder))) return undefined;
    enable(folder);
    return folder;
  } catch {
    // The home folder is missing, full or read-only. Starting takes longer, and that is all.
    return undefined;
  }
}

/** Absent before Node 22.1. */
const { enableCompileCache } = nodeModule as { enableCompileCache?: (folder: string) => unknown };

/** Where the platform keeps what can be made again. On Windows modes don't tell who may write. */
function cachesFolder(env: Environment): string | undefined {
  if (process.platform === "win32") return undefined;
  // XDG Base Directory Specification: relative paths are to be ignored.
  const xdg = env["XDG_CACHE_HOME"];
  if (xdg !== undefined && isAbsolute(xdg)) return xdg;
  const home = env["HOME"];
  if (home === undefined || !isAbsolute(home)) return undefined;
  return process.platform === "darwin" ? join(home, "Library", "Caches") : join(home, ".cache");
}

/** A folder, no link, of the user this runs as, in which nobody else can put or rename anything. */
function isOurs(stats: Stats): boolean {
  return stats.isDirectory() && stats.uid === process.geteuid?.() && (stats.mode & 0o022) === 0;
}
