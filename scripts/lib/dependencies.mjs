/** From a fresh clone to installed packages. Does nothing when all is there. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { root, run, say, SetupError } from "./run.mjs";

/** SHA-256 of the package-lock.json that was installed; gone with the packages. */
const STAMP = path.join(root, "node_modules", ".p11seal-installed");

const ADDON = path.join(root, "node_modules/pkcs11js/build/Release/pkcs11.node");

/** Refuses a Node that is too old, before anything else fails in a less helpful way. */
export function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new SetupError(`p11seal needs Node 20.19 or newer; this is ${process.version}.`);
}

/**
 * Installs what package-lock.json lists, unless that was done. Node's version is no part of this:
 * the addon uses Node-API, which all of them have.
 */
export function ensureDependencies() {
  requireNode();
  const lockfile = fs.readFileSync(path.join(root, "package-lock.json"));
  const stamp = createHash("sha256").update(lockfile).digest("hex");
  if (fs.existsSync(STAMP) && fs.readFileSync(STAMP, "utf8") === stamp) return;
  say("npm ci: installing the packages of package-lock.json");
  const args = ["ci", "--include=dev", "--include=optional", "--no-audit", "--no-fund"];
  const status = npm(args);
  if (status !== 0) throw new SetupError(`npm ci failed with status ${status}; see above.`);
  // pkcs11js is compiled on the spot and is optional, so npm leaves it out without a word when that
  // fails. The second time it shows what the compiler says.
  if (!fs.existsSync(ADDON)) npm([...args, "--foreground-scripts"]);
  if (!fs.existsSync(ADDON)) {
    throw new SetupError(
      "pkcs11js could not be compiled; see above. It needs a C++ compiler, make and python3\n" +
        "(Debian: apt install g++ make python3) and Node's headers, which node-gyp fetches from\n" +
        "nodejs.org unless they lie beside node or npm's option `nodedir` names their folder.",
    );
  }
  fs.writeFileSync(STAMP, stamp);
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

/**
 * How node-gyp is told where Node's headers are: npm complains of the old way since it has the new.
 */
function nodedirVariable() {
  const version = /^npm\/(\d+)\.(\d+)/.exec(process.env["npm_config_user_agent"] ?? "");
  const [major = 0, minor = 0] = version?.slice(1).map(Number) ?? [];
  const isNew = major > 11 || (major === 11 && minor >= 7);
  return isNew ? "npm_package_config_node_gyp_nodedir" : "npm_config_nodedir";
}
