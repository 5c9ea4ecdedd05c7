/** SoftHSM 2: a token in files, its cryptography OpenSSL's (inside Node: Node's own). No root. */
import fs from "node:fs";
import path from "node:path";
import { VERSIONS_FILE } from "../lib/apt.mjs";
import { ensureSoftHsm, findSoftHsm } from "../lib/modules.mjs";
import { root } from "../lib/run.mjs";
import { freshLabel, makeToken, versionOf } from "./stack.mjs";

/** Test PINs, good for nothing. */
const PIN = "482736";
const SO_PIN = "87654321";

/**
 * @param {import("./stack.mjs").StartOptions} options
 * @returns {Promise<import("./stack.mjs").Stack | import("./stack.mjs").Missing>}
 */
export async function start({ folder, mayFetch = true }) {
  const module = mayFetch ? ensureSoftHsm() : findSoftHsm();
  if (module === null) return { reason: "SoftHSM is not installed" };
  return softHsmToken("softhsm", module, folder);
}

/**
 * A token of SoftHSM below `folder`.
 * @param {string} name
 * @param {string} module
 * @param {string} folder
 * @returns {Promise<import("./stack.mjs").Stack | import("./stack.mjs").Missing>}
 */
export async function softHsmToken(name, module, folder) {
  const tokens = path.join(folder, "tokens");
  fs.mkdirSync(tokens, { recursive: true, mode: 0o700 });
  const conf = path.join(folder, "softhsm2.conf");
  const template = path.join(root, "softhsm-conf", "softhsm2.conf.in");
  const text = fs.readFileSync(template, "utf8").replace("@TOKENDIR@", () => tokens);
  fs.writeFileSync(conf, text, { mode: 0o600 });
  const env = { SOFTHSM2_CONF: conf };
  const label = freshLabel(name);
  const failure = await makeToken({ module, env, label, pin: PIN, soPin: SO_PIN });
  if (failure !== null) return { reason: failure };
  const versions = `SoftHSM ${versionOf("libsofthsm2", packagesBelow(module))}`.trimEnd();
  return {
    name,
    versions,
    module,
    env,
    tokenLabel: label,
    pin: PIN,
    stop: () => Promise.resolve(),
  };
}

/**
 * "/" or the folder that the module's package was unpacked into.
 * @param {string} module
 */
export function packagesBelow(module) {
  for (let folder = path.dirname(module); ; folder = path.dirname(folder)) {
    if (fs.existsSync(path.join(folder, VERSIONS_FILE))) return folder;
    if (folder === path.dirname(folder)) return folder;
  }
}
