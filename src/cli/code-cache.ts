/**
 * Compiled code, kept from one run to the next by Node, from version 22.1 on. Compiling is a quarter of
 * what starting costs. What lies in the folder is executed, so it is used only where nobody else can
 * write to it; else, and where nothing can be kept, code is compiled as ever.
 */
import { lstatSync, mkdirSync, statSync, type Stats } from "node:fs";
import nodeModule from "node:module";
import { isAbsolute, join } from "node:path";
import { keepCodeIn } from "../token/process/environment.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** From here on, what is compiled is kept and looked for; not with `P11SEAL_CODE_CACHE=0`. */
export function useCodeCache(env: Environment, enable = enableCompileCache): void {
  if (enable === undefined || env["P11SEAL_CODE_CACHE"] === "0") return;
  const caches = cachesFolder(env);
  if (caches === undefined) return;
  const folder = join(caches, "p11seal");
  try {
    mkdirSync(caches, { recursive: true, mode: 0o700 });
    if (!isOurs(statSync(caches))) return;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (!isOurs(lstatSync(folder))) return;
    enable(folder);
    keepCodeIn(folder);
  } catch {
    // A home that is missing, full or read-only: it takes longer, and that is all.
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
