/** The token that the bench measures on: one of SoftHSM's. */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { root } from "../lib/run.mjs";
import { makeTestEnvironment } from "../lib/test-environment.mjs";

const CLI = path.join(root, "dist", "cli", "main.js");
const PIN = "1234";

/**
 * A token called "bench" with an RSA-3072 key "exchange", in a configuration of its own.
 * @param {string} softHsm
 */
export function makeToken(softHsm) {
  const { env, remove } = makeTestEnvironment(softHsm, { reason: "not needed" });
  env["P11SEAL_MODULE"] = softHsm;
  const all = { ...env, PIN, P11SEAL_PIN_SOURCE: "env:PIN", P11SEAL_SO_PIN_SOURCE: "env:PIN" };
  run(["token", "init", "--label", "bench", "--module", softHsm], all);
  const pem = path.join(String(env["P11SEAL_HOME"]), "bench.pem");
  const where = ["--token", "pkcs11:token=bench", "--label", "exchange", "--type", "rsa:3072"];
  run(["keys", "generate", ...where, "-o", pem], all);
  return { env: all, remove, pem, pin: PIN, softHsm };
}

/** @typedef {ReturnType<typeof makeToken>} Token */

/** Runs p11seal. @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
export function run(args, env) {
  const done = spawnSync(process.execPath, [CLI, ...args], {
    encoding: "utf8",
    env: env ?? process.env,
  });
  if (done.status !== 0) throw new Error(`p11seal ${args.join(" ")}: ${done.stderr}`);
}
