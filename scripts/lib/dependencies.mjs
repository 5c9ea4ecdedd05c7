/** From a fresh clone to installed packages. Does nothing when all is there. */
import fs from "node:fs";
import path from "node:path";
import { root, run, say, SetupError } from "./run.mjs";

/** Refuses a Node that is too old, before anything else fails in a less helpful way. */
export function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupError(`p11seal needs Node 20.19 or newer; this is ${process.version}.`);
}

/** Installs what package-lock.json lists, unless exactly that is installed. */
export function ensureDependencies() {
  requireNode();
  const missing = missingPackage();
  if (missing !== null) {
    say(`npm ci: installing the packages of package-lock.json (${missing})`);
    const status = npm(["ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund"]);
    if (status !== 0) throw new SetupError(`npm ci failed with status ${status}; see above.`);
  }
  ensureAddon();
}

/**
 * Says which package is not installed as package-lock.json wants it, or null. npm keeps its own
 * record of what it installed, in the lockfile's form; packages for other platforms are not in it.
 */
function missingPackage() {
  const record = readIfThere(path.join(root, "node_modules", ".package-lock.json"));
  if (record === null) return "none is installed";
  const wanted = packagesOf(fs.readFileSync(path.join(root, "package-lock.json"), "utf8"));
  const installed = packagesOf(record);
  for (const [name, entry] of Object.entries(wanted)) {
    if (name === "") continue;
    const found = installed[name];
    if (found === undefined && entry.optional === true) continue;
    if (found?.version !== entry.version || found?.integrity !== entry.integrity) {
      return `${name.replace(/^node_modules\//, "")} ${found ? "has changed" : "is missing"}`;
    }
  }
  return null;
}

/**
 * @param {string} lockfile
 * @returns {Record<string, { version?: string, integrity?: string, optional?: boolean }>}
 */
function packagesOf(lockfile) {
  return JSON.parse(lockfile).packages;
}

/**
 * pkcs11js is compiled on the spot and is optional, so npm says nothing when that fails, and leaves
 * it out. Here it is needed.
 */
function ensureAddon() {
  const addon = path.join(root, "node_modules/pkcs11js/build/Release/pkcs11.node");
  if (fs.existsSync(addon)) return;
  say("npm rebuild: compiling pkcs11js, the door to PKCS#11 modules");
  npm(
    fs.existsSync(path.join(root, "node_modules/pkcs11js"))
      ? ["rebuild", "pkcs11js", "--foreground-scripts"]
      : ["ci", "--include=dev", "--include=optional", "--foreground-scripts"],
  );
  if (fs.existsSync(addon)) return;
  throw new SetupError(
    "pkcs11js could not be compiled; see above. It needs a C++ compiler, make and python3\n" +
      "(Debian: apt install g++ make python3) and Node's headers, which node-gyp fetches from\n" +
      "nodejs.org unless they lie beside node or npm's option `nodedir` names their folder.",
  );
}

/**
 * Runs npm: the one this script was started by, else the one on the path.
 * @param {readonly string[]} args
 * @returns {number} exit status
 */
export function npm(args) {
  const env = { ...process.env };
  // Node's headers often lie beside node; then nothing has to be fetched to compile pkcs11js.
  const prefix = path.resolve(path.dirname(process.execPath), "..");
  if (
    env["npm_config_nodedir"] === undefined &&
    fs.existsSync(path.join(prefix, "include/node/node_api.h"))
  ) {
    env[nodedirVariable()] = prefix;
  }
  const script = process.env["npm_execpath"];
  if (script !== undefined && /npm-cli\.c?js$/.test(script)) {
    return run(process.execPath, [script, ...args], env);
  }
  // On Windows npm is a .cmd file, which only its shell can start; no argument here needs quoting.
  return process.platform === "win32"
    ? run("cmd.exe", ["/d", "/s", "/c", "npm", ...args], env)
    : run("npm", args, env);
}

/** How node-gyp is told where Node's headers are: npm complains of the old way since it has the new. */
function nodedirVariable() {
  const version = /^npm\/(\d+)\.(\d+)/.exec(process.env["npm_config_user_agent"] ?? "");
  const [major = 0, minor = 0] = version?.slice(1).map(Number) ?? [];
  const isNew = major > 11 || (major === 11 && minor >= 7);
  return isNew ? "npm_package_config_node_gyp_nodedir" : "npm_config_nodedir";
}

/** @param {string} file */
function readIfThere(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") return null;
    throw error;
  }
}
