/**
 * Wine and a compiler for Windows programs: what stands in for a Windows machine in
 * `npm run test:capi`. Both come from Debian. Without a display, and with everything Wine writes in
 * a folder of its own.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { aptFailure, aptInstall, hasApt, isRoot } from "./apt.mjs";
import { capture, root, say, SetupError } from "./run.mjs";

/**
 * Runs a Windows program.
 * @typedef {object} Wine
 * @property {string} program Wine's loader
 * @property {NodeJS.ProcessEnv} env its whole environment
 * @property {string} folder its folder, also the programs' working folder
 * @property {() => void} remove ends Wine's server and deletes the folder
 */

const COMPILER = "x86_64-w64-mingw32-gcc";
/** Debian's package `wine` has a wrapper that asks for a 32-bit Wine, which nothing here needs. */
const LOADERS = ["/usr/lib/wine/wine64", "/usr/bin/wine64", "/usr/bin/wine"];
const SERVERS = ["/usr/lib/wine/wineserver64", "/usr/lib/wine/wineserver", "/usr/bin/wineserver"];

/**
 * Gets what is missing.
 * @returns {{ reason: string } | undefined} why there is no Wine, or no compiler
 */
export function ensureWine() {
  const missing = () => [
    ...(firstOf(LOADERS) === undefined ? ["wine64"] : []),
    ...(capture(COMPILER, ["--version"]).status === 0 ? [] : ["gcc-mingw-w64-x86-64-win32"]),
  ];
  const wanted = missing();
  if (wanted.length === 0) return undefined;
  const names = wanted.join(" and ");
  if (!hasApt())
    return { reason: `${names} not installed, and this is no Debian to get them from` };
  if (!isRoot()) return { reason: `${names} not installed; as root: apt-get install ${names}` };
  if (process.arch !== "x64") return { reason: `no Wine for Windows programs on ${process.arch}` };
  if (aptInstall(wanted) && missing().length === 0) return undefined;
  return { reason: `${names} could not be installed with apt-get\n${aptFailure()}` };
}

/**
 * Compiles a C program for Windows.
 * @param {string} source below the repository
 * @param {string} program where to
 */
export function compileForWindows(source, program) {
  const flags = ["-std=c11", "-O1", "-s", "-Wall", "-Wextra", "-Werror"];
  const { status, output } = capture(COMPILER, [
    ...flags,
    ...["-o", program, path.join(root, source), "-ladvapi32"],
  ]);
  if (status !== 0) throw new SetupError(`${source} was not compiled:\n${output}`);
}

/**
 * A fresh Windows: a folder for Wine, set up and running.
 * @returns {Wine}
 */
export function startWine() {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "p11seal-wine-")));
  const program = firstOf(LOADERS) ?? "wine";
  const server = firstOf(SERVERS) ?? "wineserver";
  const env = {
    PATH: process.env["PATH"],
    HOME: folder,
    WINEPREFIX: path.join(folder, "prefix"),
    WINEARCH: "win64",
    WINEDEBUG: "-all",
    // No questions about Mono and Gecko, no menu entries.
    WINEDLLOVERRIDES: "mscoree=;mshtml=;winemenubuilder.exe=",
  };
  const remove = () => {
    capture(server, ["-k"], { env });
    capture(server, ["-w"], { env });
    fs.rmSync(folder, { recursive: true, force: true });
  };
  say("wineboot: a Windows in a temporary folder");
  fs.mkdirSync(env.WINEPREFIX);
  // Without pipes: the server and Windows' services outlive these calls, and would keep them open.
  /** @type {import("node:child_process").SpawnSyncOptions} */
  const quiet = { env, cwd: folder, stdio: "ignore" };
  // Persistent: started anew it costs seconds.
  spawnSync(server, ["-p"], quiet);
  const { status } = spawnSync(program, ["wineboot", "-i"], quiet);
  if (status === 0) return { program, env, folder, remove };
  remove();
  throw new SetupError(`Wine does not start here: wineboot ends with status ${status}.`);
}

/** @param {readonly string[]} paths */
function firstOf(paths) {
  return paths.find((one) => fs.existsSync(one));
}
