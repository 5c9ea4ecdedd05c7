/**
 * All six stacks at once: set up side by side, described in one file for the tests, ended together.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { say } from "../lib/run.mjs";
import { cardKeys } from "./test-keys.mjs";

/** In the order in which tables show them. */
export const STACKS = /** @type {const} */ ([
  "softhsm",
  "nss",
  "opencryptoki",
  "tpm2",
  "opensc",
  "p11kit",
]);

/**
 * @typedef {Record<string, import("./stack.mjs").Stack | import("./stack.mjs").Missing>} Started
 */

/**
 * Starts stacks and writes what tests need to know to a file, whose path is `env.TEST_STACKS`. One
 * that can't be set up is in it with the reason.
 * @param {{ names?: readonly string[], mayFetch: boolean }} options
 * @returns {Promise<{ stacks: Started, env: Record<string, string>, stop: () => Promise<void> }>}
 */
export async function startStacks({ names = STACKS, mayFetch }) {
  // Short, as the paths of sockets have 107 bytes at most.
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "p11s-")));
  /** @type {Started} */
  const stacks = {};
  const stop = async () => {
    for (const one of Object.values(stacks)) if (!("reason" in one)) await one.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  };
  // Ctrl-C while daemons start ends them too; afterwards it is the caller's.
  const interrupted = () => process.exit(130);
  process.once("SIGINT", interrupted);
  try {
    // apt does one thing at a time; without it the six don't disturb each other.
    const all = names.map(
      (name) => async () => (stacks[name] = await startOne(name, folder, mayFetch)),
    );
    if (mayFetch) for (const one of all) await one();
    else await Promise.all(all.map((one) => one()));
    const file = path.join(folder, "stacks.json");
    fs.writeFileSync(file, JSON.stringify(described(stacks)), { mode: 0o600 });
    for (const [name, one] of Object.entries(stacks)) {
      if ("reason" in one) say(`without ${name}: ${one.reason}`);
    }
    return { stacks, env: { TEST_STACKS: file }, stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    process.off("SIGINT", interrupted);
  }
}

/**
 * @param {string} name
 * @param {string} folder
 * @param {boolean} mayFetch
 * @returns {Promise<import("./stack.mjs").Stack | import("./stack.mjs").Missing>}
 */
async function startOne(name, folder, mayFetch) {
  const own = path.join(folder, name);
  fs.mkdirSync(own, { mode: 0o700 });
  const { start } = await import(`./${name}.mjs`);
  const keys = name === "opensc" ? { keys: cardKeys() } : {};
  return start({ folder: own, mayFetch, ...keys });
}

/**
 * What another process can use of the stacks: no functions, nothing that a stack has beside.
 * @param {Started} stacks
 */
function described(stacks) {
  return Object.fromEntries(
    Object.entries(stacks).map(([name, one]) => {
      if ("reason" in one) return [name, { reason: one.reason }];
      const { versions, module, env, tokenLabel, pin } = one;
      return [name, { versions, module, env, tokenLabel, pin }];
    }),
  );
}
