/**
 * The module that test tokens use (src/testing/shim), compiled ahead for each platform that this
 * machine has a compiler for. It needs glibc and nothing else: what it uses of libstdc++ is inside,
 * and `oldestGlibc` looks that it asks for no newer glibc than Node does. The same sources and the
 * same compiler give the same bytes.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { cache, capture, root, say, SetupError } from "./run.mjs";

const SOURCES = path.join(root, "src", "testing", "shim");

/** What is linked to it here only. */
const EXTRA = path.join(root, "scripts", "shim");

/**
 * @typedef {object} Platform
 * @property {string} name as Node has it
 * @property {string} machine as compilers have it
 */

/** @type {readonly Platform[]} */
const PLATFORMS = [
  { name: "linux-x64", machine: "x86_64-linux-gnu" },
  { name: "linux-arm64", machine: "aarch64-linux-gnu" },
];

/** The glibc that Node 20 needs. */
const NODE_GLIBC = 28;

const FLAGS = [
  ...["-std=c++20", "-shared", "-fPIC", "-Os", "-fno-exceptions", "-fno-rtti"],
  ...["-ffunction-sections", "-fdata-sections", "-fvisibility=hidden", "-frandom-seed=shim"],
  // Each copy of the library has its own state: nothing of it may be merged with another copy's.
  ...["-fno-gnu-unique", "-Wl,-Bsymbolic", "-Wl,--gc-sections", "-Wl,--build-id=none", "-s"],
  `-Wl,--version-script=${path.join(EXTRA, "exports.map")}`,
  ...["shim.cc", path.join(EXTRA, "runtime.cc")],
  ...["-l:libstdc++.a", "-static-libgcc"],
  // dlopen is in libdl before glibc 2.34.
  ...["-Wl,--no-as-needed", "-l:libdl.so.2", "-Wl,-z,defs"],
];

/**
 * Puts a shim for each platform into `prebuilt/` below `testing`, and says which there are.
 * @param {string} testing the compiled src/testing
 */
export async function prebuildShims(testing) {
  /** @type {typeof import("../../src/testing/shim-library.js")} */
  const { sourcesHash } = await import(pathToFileURL(path.join(testing, "shim-library.js")).href);
  const sources = sourcesHash();
  /** @type {string[]} */
  const made = [];
  for (const platform of PLATFORMS) {
    const compiler = findCompiler(platform);
    if (compiler === null) continue;
    try {
      const shim = prebuilt(platform, compiler, sources);
      fs.cpSync(shim, path.join(testing, "prebuilt", platform.name), { recursive: true });
      made.push(platform.name);
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      // An old compiler, perhaps. The package works without.
      say(error.message);
    }
  }
  say(`test tokens' module: prebuilt for ${made.length > 0 ? made.join(", ") : "no platform"}`);
}

/**
 * Whether this machine has a compiler for a platform.
 * @param {string} name as in `linux-x64`
 */
export function hasCompiler(name) {
  return compilerFor(name) !== null;
}

/**
 * Compiles a shim for a platform.
 * @param {string} name as in `linux-x64`
 * @param {string} folder with the sources
 * @param {string} file the result
 */
export function compileShim(name, folder, file) {
  const compiler = compilerFor(name);
  if (compiler === null) throw new SetupError(`there is no compiler for ${name}`);
  compile(compiler, folder, file);
}

/** @param {string} name */
function compilerFor(name) {
  const platform = PLATFORMS.find((one) => one.name === name);
  return platform === undefined ? null : findCompiler(platform);
}

/**
 * The folder of `.cache/` with a platform's shim, made unless it is there.
 * @param {Platform} platform
 * @param {Compiler} compiler
 * @param {string} sources their hash
 */
function prebuilt({ name, machine }, compiler, sources) {
  const hash = createHash("sha256").update(JSON.stringify([sources, compiler, FLAGS]));
  for (const file of fs.readdirSync(EXTRA).sort()) {
    hash.update(fs.readFileSync(path.join(EXTRA, file)));
  }
  const folder = path.join(cache, "prebuilt", `${name}-${hash.digest("hex").slice(0, 16)}`);
  if (fs.existsSync(folder)) return folder;
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  const making = fs.mkdtempSync(path.join(cache, "prebuilt", "making-"));
  try {
    const file = path.join(making, "shim.so");
    compile(compiler, SOURCES, file);
    const glibc = oldestGlibc(file, machine);
    /** @type {import("../../src/testing/shim-library.js").PrebuiltShim} */
    const facts = { sources, glibc, compiler: compiler.version };
    fs.writeFileSync(path.join(making, "shim.json"), `${JSON.stringify(facts)}\n`);
    fs.chmodSync(making, 0o755);
    fs.rmSync(folder, { recursive: true, force: true });
    fs.renameSync(making, folder);
  } finally {
    fs.rmSync(making, { recursive: true, force: true });
  }
  return folder;
}

/**
 * @param {Compiler} compiler
 * @param {string} folder with the sources
 * @param {string} file the result
 */
function compile({ command }, folder, file) {
  const { status, output } = capture(command, [...FLAGS, "-o", file], { cwd: folder });
  if (status !== 0) throw new SetupError(`${command} does not compile the shim:\n${output}`);
  fs.chmodSync(file, 0o644);
}

/**
 * @typedef {object} Compiler
 * @property {string} command
 * @property {string} version as it calls itself
 */

/**
 * GCC for a platform, or null.
 * @param {Platform} platform
 * @returns {Compiler | null}
 */
function findCompiler({ machine }) {
  for (const command of [`${machine}-gcc`, "gcc"]) {
    const target = capture(command, ["-dumpmachine"]);
    const [cpu = ""] = machine.split("-");
    const fits = target.output.startsWith(`${cpu}-`) && /-linux(?:-gnu)?\s*$/.test(target.output);
    if (target.status !== 0 || !fits) continue;
    // libstdc++ as an archive is a package of its own on some systems.
    const archive = capture(command, ["-print-file-name=libstdc++.a"]).output.trim();
    if (!path.isAbsolute(archive)) continue;
    const [version = ""] = capture(command, ["--version"]).output.split("\n");
    return { command, version };
  }
  return null;
}

/**
 * The oldest glibc that a library runs with, from the versions of the functions that it needs.
 * @param {string} file
 * @param {string} machine
 * @returns {string} as in "2.28"
 */
function oldestGlibc(file, machine) {
  const tool = [`${machine}-objdump`, "objdump"].find(
    (one) => capture(one, ["--version"]).status === 0,
  );
  if (tool === undefined) throw new SetupError("objdump is missing, which comes with GCC");
  const { output } = capture(tool, ["-T", file]);
  const minors = [...output.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  const newest = Math.max(...minors);
  if (minors.length > 0 && newest <= NODE_GLIBC) return `2.${newest}`;
  throw new SetupError(`the prebuilt shim needs glibc 2.${newest}; Node needs 2.${NODE_GLIBC}`);
}
