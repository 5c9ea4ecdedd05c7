/**
 * Other recipients for a tree of small messages, with one PIN; beside what must be done for each of
 * them: the token's bare unwrap, and the disk's bare flush. The slower of these two is what can be
 * reached. All three are run in turn, so that what else the machine does is in each of them.
 *
 * SoftHSM uses the processors that everything else needs. So there is a second table, with an
 * operation that waits as one of a device's does: 10 ms, as an HSM in the network takes.
 */
import { spawnSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { findSoftHsm } from "../lib/modules.mjs";
import { root } from "../lib/run.mjs";
import { inFolder, p11seal } from "./measure.mjs";
import { makeToken, run } from "./token.mjs";

const OPERATION_MS = 10;

/** Messages that differ, and files in a folder. */
const DIFFERENT = 100;

/** @typedef {{ name: string, command: string[], before?: () => void, after?: () => void }} Case */

/** @param {{ quick: boolean }} options */
export async function rewrapMany({ quick }) {
  const softHsm = findSoftHsm();
  if (softHsm === null) {
    console.log("\nrewrap of many files: SoftHSM is not installed, left out");
    return;
  }
  const token = makeToken(softHsm);
  try {
    const some = quick ? 2000 : 10_000;
    const rounds = quick ? 1 : 3;
    await inFolder((folder) => {
      measureIn(folder, token, { files: some, rounds, what: "on SoftHSM" });
      return Promise.resolve();
    });
    // Built by now.
    const { wrapModule } = await import("../../dist/testing/index.js");
    const device = await wrapModule(softHsm);
    try {
      device.faults.slow("C_UnwrapKey", OPERATION_MS);
      await inFolder((folder) => {
        const waiting = { ...token, softHsm: device.module };
        const what = `on a token that takes ${OPERATION_MS} ms more`;
        measureIn(folder, waiting, { files: some / 5, rounds, what });
        return Promise.resolve();
      });
    } finally {
      await device.close();
    }
  } finally {
    token.remove();
  }
}

/**
 * @param {string} folder @param {import("./token.mjs").Token} token
 * @param {{ files: number, rounds: number, what: string }} extent
 */
function measureIn(folder, token, { files, rounds, what }) {
  const at = (/** @type {string} */ name) => path.join(folder, name);
  const { publicKey } = crypto.generateKeyPairSync("x25519");
  fs.writeFileSync(at("new.pem"), publicKey.export({ type: "spki", format: "pem" }));
  const sealed = sealSome(at, token);
  const tree = at("tree");
  const flushed = at("flushed");
  const key = ["-i", "pkcs11:token=bench;object=exchange", "--module", token.softHsm];
  const bench = (/** @type {string} */ name) => path.join(root, "scripts", "bench", name);
  /** @type {Case[]} */
  const cases = [
    {
      name: "C_UnwrapKey, read, destroy: bare loop",
      command: [
        ...[process.execPath, bench("bare-unwrap.mjs"), token.softHsm],
        ...["bench", token.pin, token.pem, String(files)],
      ],
    },
    {
      name: "write, fsync, rename: bare loop",
      command: [process.execPath, bench("bare-flush.mjs"), flushed, "4096", String(files)],
      before: () => void fillFlat(flushed, files),
      after: () => void fs.rmSync(flushed, { recursive: true }),
    },
    {
      name: "p11seal rewrap --tree",
      command: p11seal(
        "rewrap",
        "-q",
        "--tree",
        ...key,
        "--from-key",
        token.pem,
        "-r",
        at("new.pem"),
        tree,
      ),
      before: () => void fill(tree, sealed, files),
      after: () => void fs.rmSync(tree, { recursive: true }),
    },
  ];
  const seconds = cases.map(() => /** @type {number[]} */ ([]));
  for (let round = 0; round < rounds; round++) {
    for (const [i, one] of cases.entries()) seconds[i]?.push(timed(one, token.env));
  }
  const rates = seconds.map((each) => files / Math.min(...each));
  const bare = Math.min(...rates.slice(0, 2));
  console.log(`\n### rewrap of ${files} small files, RSA-3072 ${what} (${rounds} rounds)\n`);
  console.log("| command | lowest s | files/s | × slower bare loop |");
  console.log("| --- | ---: | ---: | ---: |");
  for (const [i, { name }] of cases.entries()) {
    const rate = rates[i] ?? 0;
    const lowest = Math.min(...(seconds[i] ?? []));
    console.log(
      `| ${[name, lowest.toFixed(2), rate.toFixed(0), (rate / bare).toFixed(2)].join(" | ")} |`,
    );
  }
}

/**
 * @param {import("./measure.mjs").At} at @param {import("./token.mjs").Token} token
 * @returns {Buffer[]}
 */
function sealSome(at, { pem, env }) {
  const names = Array.from({ length: DIFFERENT }, (_, i) => at(`${i}.txt`));
  for (const name of names) fs.writeFileSync(name, crypto.randomBytes(1024));
  fs.mkdirSync(at("sealed"));
  run(["seal", "-q", "-r", pem, "-o", at("sealed"), ...names], env);
  return fs.readdirSync(at("sealed")).map((name) => fs.readFileSync(path.join(at("sealed"), name)));
}

/** @param {string} tree @param {readonly Buffer[]} messages @param {number} files */
function fill(tree, messages, files) {
  for (let i = 0; i < files; i++) {
    const folder = path.join(tree, String(Math.floor(i / DIFFERENT)));
    if (i % DIFFERENT === 0) fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, `${i}.p11s`), messages[i % messages.length] ?? "");
  }
}

/** What is to be replaced. @param {string} folder @param {number} files */
function fillFlat(folder, files) {
  fs.mkdirSync(folder);
  for (let i = 0; i < files; i++) fs.writeFileSync(path.join(folder, String(i)), "old");
}

/** @param {Case} one @param {NodeJS.ProcessEnv} env */
function timed({ name, command: [program = "", ...args], before, after }, env) {
  before?.();
  spawnSync("sync");
  const started = process.hrtime.bigint();
  const done = spawnSync(program, args, { encoding: "utf8", env });
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  after?.();
  if (done.status !== 0) throw new Error(`${name}: ${done.stderr}`);
  return seconds;
}
