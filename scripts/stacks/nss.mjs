/** NSS softoken: Firefox's key database, with cryptography of its own. No root. */
import fs from "node:fs";
import path from "node:path";
import { ensureNss, findNss } from "../lib/modules.mjs";
import { packagesBelow } from "./softhsm.mjs";
import { libraryEnv, makeToken, versionOf } from "./stack.mjs";

/** Test PIN, good for nothing. */
const PIN = "482736";

/**
 * @param {import("./stack.mjs").StartOptions} options
 * @returns {Promise<import("./stack.mjs").Stack | import("./stack.mjs").Missing>}
 */
export async function start({ folder, mayFetch = true }) {
  const found = mayFetch ? ensureNss() : findNss();
  if (found === null) return { reason: "NSS softoken (libsoftokn3) is not installed" };
  if ("reason" in found) return found;
  const { path: module, libraryPath } = found;
  const database = path.join(folder, "database");
  fs.mkdirSync(database, { recursive: true, mode: 0o700 });
  const env = { ...libraryEnv(libraryPath), P11SEAL_NSS_DIR: database };
  const parameters = `configdir='sql:${database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags=`;
  // Slot 0 is NSS's own, slot 1 the database.
  const failure = await makeToken({ module, env, parameters, slot: 1, pin: PIN, soPin: "" });
  if (failure !== null) return { reason: failure };
  const versions = `NSS ${versionOf("libnss3", packagesBelow(module))}`.trimEnd();
  const stop = () => Promise.resolve();
  return { name: "nss", versions, module, env, tokenLabel: "NSS Certificate DB", pin: PIN, stop };
}
