/**
 * The world the tests run in: a folder of its own with an empty SoftHSM, an empty NSS database and
 * an empty data folder, and nothing of the user's own settings. SoftHSM reads its variable with C's
 * getenv, so the variables must be set before the process that loads it starts.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { cache, root } from "./run.mjs";

/** Set when a process already runs in such a world. */
const MARK = "P11SEAL_TEST_ENVIRONMENT";

/**
 * @typedef {object} TestEnvironment
 * @property {NodeJS.ProcessEnv} env the whole environment for a test process
 * @property {() => void} remove deletes the folder
 */

/** True inside a process started with a test environment. */
export function inTestEnvironment() {
  return process.env[MARK] !== undefined;
}

/**
 * Makes the folder and the variables:
 *
 * - `SOFTHSM2_CONF`, `TEST_SOFTHSM2_MODULE`: SoftHSM with an empty token folder; each test
 *   file gets a folder of its own (test/support/file-folders.ts)
 * - `TEST_NSS_MODULE`, `TEST_NSS_DIR`: NSS softoken and an empty folder for its databases; without
 *   NSS only `TEST_NSS_MISSING`, the reason
 * - `P11SEAL_HOME`: an empty data folder; `XDG_CACHE_HOME`: none yet, for compiled code
 * - `P11SEAL_TESTING_CACHE`: what test tokens are made from, kept between runs
 * - `P11SEAL_VECTORS`: the published test vectors, when they lie beside the repository
 *
 * @param {string} softHsm
 * @param {import("./modules.mjs").Module | { reason: string }} nss
 * @returns {TestEnvironment}
 */
export function makeTestEnvironment(softHsm, nss) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "p11seal-test-")));
  const tokens = path.join(folder, "softhsm", "tokens");
  const databases = path.join(folder, "nss");
  const home = path.join(folder, "home");
  for (const made of [tokens, databases, home])
    fs.mkdirSync(made, { recursive: true, mode: 0o700 });
  const conf = path.join(folder, "softhsm", "softhsm2.conf");
  const template = path.join(root, "softhsm-conf", "softhsm2.conf.in");
  const text = fs.readFileSync(template, "utf8").replace("@TOKENDIR@", () => tokens);
  fs.writeFileSync(conf, text, { mode: 0o600 });

  const env = withoutSettings(process.env);
  env[MARK] = folder;
  env["SOFTHSM2_CONF"] = conf;
  env["TEST_SOFTHSM2_MODULE"] = softHsm;
  env["P11SEAL_HOME"] = home;
  env["XDG_CACHE_HOME"] = path.join(folder, "cache");
  env["P11SEAL_TESTING_CACHE"] = path.join(cache, "testing");
  // Whatever else is installed here, with tokens of its own, is none of the tests' business.
  env["P11SEAL_SYSTEM_MODULES"] = "0";
  const vectors = process.env["P11SEAL_VECTORS"] ?? path.join(root, "..", "shared", "vectors");
  if (fs.existsSync(vectors)) env["P11SEAL_VECTORS"] = path.resolve(vectors);
  if ("reason" in nss) {
    env["TEST_NSS_MISSING"] = nss.reason;
  } else {
    env["TEST_NSS_MODULE"] = nss.path;
    env["TEST_NSS_DIR"] = databases;
    if (nss.libraryPath !== null) {
      const others = process.env["LD_LIBRARY_PATH"];
      env["LD_LIBRARY_PATH"] = others ? `${nss.libraryPath}:${others}` : nss.libraryPath;
    }
  }
  return { env, remove: () => fs.rmSync(folder, { recursive: true, force: true }) };
}

/**
 * The environment without anything that changes what p11seal or a module does, except for the
 * binding: the suite runs on each.
 * @param {NodeJS.ProcessEnv} env
 * @returns {NodeJS.ProcessEnv}
 */
export function withoutSettings(env) {
  const settings =
    /^(P11SEAL_(?!BINDING$)|TEST_NSS_|TEST_SOFTHSM2_|SOFTHSM2_CONF$|PKCS11_MODULE_PATH$)/;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !settings.test(name)));
}
