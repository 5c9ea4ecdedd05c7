/**
 * `npm run bench -- --agent [--quick]`: what a running agent saves. Opening 1 KiB beside starting
 * Node, with the agent and without; and a thousand files in one run, with either.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { findSoftHsm } from "../lib/modules.mjs";
import { root } from "../lib/run.mjs";
import { table } from "./small.mjs";
import { makeToken, run } from "./token.mjs";

const CLI = path.join(root, "dist", "cli", "main.js");

/** @param {{ quick: boolean }} options */
export async function agent({ quick }) {
  const softHsm = findSoftHsm();
  if (softHsm === null) {
    console.log("\nSoftHSM: not installed, the agent is left out");
    return;
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "p11seal-bench-"));
  const token = makeToken(softHsm);
  const running = await startAgent(folder, token);
  try {
    start(folder, token, running.env, quick ? 3 : 15);
    files(folder, token, running.env, quick ? 100 : 1000, quick ? 1 : 5);
  } finally {
    const ended = once(running.child, "exit");
    running.child.kill();
    await ended;
    token.remove();
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * An agent for the token, and the environment of its clients.
 * @param {string} folder
 * @param {import("./token.mjs").Token} token
 */
async function startAgent(folder, token) {
  const pin = path.join(folder, "pin");
  fs.writeFileSync(pin, token.pin, { mode: 0o600 });
  const env = { ...token.env, XDG_RUNTIME_DIR: folder };
  const argv = [CLI, "agent", "run", "--module", token.softHsm, "--pin-source", `file:${pin}`];
  const child = spawn(process.execPath, argv, { env, stdio: "ignore" });
  const socket = path.join(folder, "p11seal", "agent.sock");
  for (let waited = 0; !fs.existsSync(socket) && waited < 20_000; waited += 20) await sleep(20);
  return { child, env };
}

/**
 * @param {string} folder
 * @param {import("./token.mjs").Token} token
 * @param {NodeJS.ProcessEnv} env
 * @param {number} rounds
 */
function start(folder, token, env, rounds) {
  const at = (/** @type {string} */ name) => path.join(folder, name);
  fs.writeFileSync(at("small"), Buffer.alloc(1024, 7));
  run(["seal", "-r", token.pem, "-o", at("small.p11s"), at("small")]);
  const open = [CLI, "open", "-q", "--force", "-o", at("o"), at("small.p11s")];
  const before = () => fs.rmSync(at("o"), { force: true });
  // The first message asks for the PIN, which is not what is measured here.
  run(open.slice(1), env);
  table(
    `open of 1 KiB with a running agent (${rounds} rounds)`,
    [
      { name: "node -e 0", args: ["-e", "0"] },
      { name: "p11seal open, agent", args: open, env, before },
      // What is replaced must not be lost: the new file is flushed first.
      { name: "p11seal open, agent, replacing a file", args: open, env },
      { name: "p11seal open --no-agent", args: [...open, "--no-agent"], env, before },
    ],
    rounds,
  );
}

/**
 * @param {string} folder
 * @param {import("./token.mjs").Token} token
 * @param {NodeJS.ProcessEnv} env
 * @param {number} count
 * @param {number} rounds
 */
function files(folder, token, env, count, rounds) {
  const [inbox, opened] = [path.join(folder, "inbox"), path.join(folder, "opened")];
  for (const made of [inbox, opened]) fs.mkdirSync(made);
  const names = Array.from({ length: count }, (_, i) => path.join(inbox, `${i}.p11s`));
  for (const name of names) fs.copyFileSync(path.join(folder, "small.p11s"), name);
  const open = [CLI, "open", "-q", "-o", opened, ...names];
  // A file that is replaced is flushed first, which is not what is measured here.
  const before = () => {
    fs.rmSync(opened, { recursive: true });
    fs.mkdirSync(opened);
  };
  const bare = path.join(root, "scripts", "bench", "bare-unwrap.mjs");
  table(
    `${count} files of 1 KiB, one run, through an agent: RSA-3072 on SoftHSM (${rounds} rounds)`,
    [
      {
        name: "C_UnwrapKey, read, destroy: bare loop",
        args: [bare, token.softHsm, "bench", token.pin, token.pem, String(count)],
        env: token.env,
      },
      { name: "p11seal open, agent", args: open, env, before },
      { name: "p11seal open --no-agent", args: [...open, "--no-agent"], env, before },
    ],
    rounds,
  );
}
