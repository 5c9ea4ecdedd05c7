/**
 * Loads a bundled program with the code that an earlier run compiled. Compiling is a third of what
 * starting costs. Node keeps compiled code by itself from version 22.1 on; before, it is kept in
 * files of our own (`compiled-code.ts`), in the same folder. Whatever lies there is executed, so
 * the folder is used only if nobody else can write to it. Otherwise code is compiled on each run.
 */
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { Script } from "node:vm";
import { defined } from "../defined.js";
import { CompiledCode, isOurs, sourceName } from "./compiled-code.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** A program that was loaded. */
export interface Loaded {
  /** What it exports. */
  readonly program: unknown;
  /** Keeps what was compiled until now, where that takes a call. Never throws. */
  readonly keep: () => void;
}

/** The part of `node:module` that newer versions of Node have. */
export interface NodeCache {
  /** Since Node 22.1. */
  enableCompileCache?(folder: string): unknown;
  /** Since Node 22.10. */
  flushCompileCache?(): void;
}

/**
 * Loads a program of this package.
 *
 * @param require - of a module in the same folder
 * @param file - the path of a CommonJS file, all of it ASCII, and without `import()`. As a script,
 *   where there is no `module`, it has to yield the function that Node would put it in.
 * @param purpose - what it will do, in letters and hyphens. Code is kept for each purpose by
 *   itself: the functions that one command runs are not those of the next.
 * @param node - what Node has for this itself
 */
export function loadProgram(
  require: NodeJS.Require,
  file: string,
  purpose: string,
  env: Environment,
  node: NodeCache = nodeCache(require),
): Loaded {
  const folder = folderOf(env);
  if (folder !== undefined && node.enableCompileCache === undefined) {
    return compiled(require, file, purpose, folder);
  }
  if (folder !== undefined) node.enableCompileCache?.(folder);
  const program: unknown = require(file);
  // Node would do it when the program comes to its end, which a signal may forestall.
  return { program, keep: () => node.flushCompileCache?.() };
}

/** What this Node has. Before version 22 it has nothing, and need not load the module to say so. */
function nodeCache(require: NodeJS.Require): NodeCache {
  const [major] = process.versions.node.split(".");
  return Number(major) < 22 ? {} : (require("node:module") as NodeCache);
}

/** As `require` would load the file, except that its code may be there already. */
function compiled(require: NodeJS.Require, file: string, purpose: string, folder: string): Loaded {
  const stats = statSync(file);
  const source = readFileSync(file);
  const kept = new CompiledCode(folder, purpose, sourceName(source, stats));
  const cachedData = kept.read();
  const script = new Script(source.toString("latin1"), {
    filename: file,
    ...defined({ cachedData }),
  });
  const module = { exports: {} };
  const run = script.runInThisContext() as (...given: unknown[]) => void;
  run.call(module.exports, module.exports, require, module, file, dirname(file));
  const isNew = script.cachedDataRejected !== false;
  return {
    program: module.exports,
    keep: () => {
      if (isNew) kept.write(script.createCachedData());
    },
  };
}

/** The folder to keep compiled code in; undefined if it is turned off, or can't be kept safely. */
function folderOf(env: Environment): string | undefined {
  if (env["P11SEAL_CODE_CACHE"] === "0" || env["NODE_DISABLE_COMPILE_CACHE"]) return undefined;
  try {
    const caches = cachesFolder(env);
    if (caches === undefined) return undefined;
    const folder = join(caches, "p11seal");
    if (!isOurFolder(caches, statSync) || !isOurFolder(folder, lstatSync)) return undefined;
    // Node makes folders below it that are as open as the umask lets them be.
    if ((lstatSync(folder).mode & 0o077) !== 0) chmodSync(folder, 0o700);
    return folder;
  } catch {
    // The home folder is missing, full or read-only. Starting takes longer, and that is all.
    return undefined;
  }
}

/** Where the platform keeps what can be made again. On Windows modes don't tell who may write. */
function cachesFolder(env: Environment): string | undefined {
  if (process.platform === "win32") return undefined;
  // XDG Base Directory Specification: relative paths are to be ignored.
  const xdg = env["XDG_CACHE_HOME"];
  if (xdg !== undefined && isAbsolute(xdg)) return xdg;
  const home = env["HOME"];
  // A home folder that is missing is not ours to make: it may not be mounted yet.
  if (home === undefined || !isAbsolute(home) || !existsSync(home)) return undefined;
  return process.platform === "darwin" ? join(home, "Library", "Caches") : join(home, ".cache");
}

/**
 * Whether nobody but this user can put or rename anything in a folder. One that is missing is made,
 * but only in a folder of which the same is true: root may run with the HOME of somebody else, who
 * would find a folder there that is not theirs.
 */
function isOurFolder(path: string, stat: typeof statSync): boolean {
  const found = stat(path, { throwIfNoEntry: false });
  if (found !== undefined) return found.isDirectory() && isOurs(found);
  if (path === dirname(path) || !isOurFolder(dirname(path), statSync)) return false;
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return true;
}
