/**
 * `npm run bench -- --audit [--quick]`: `p11seal audit` of a tree of small messages, in files a
 * second: without signatures, signed with each kind of key, and age's. The sender and the recipient
 * are known, and what is found all the same is not reported. Each tree holds copies of some
 * messages that differ, as one-time keys do; only the sender's key is the same in all.
 */
import { spawnSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { inFolder, p11seal } from "./measure.mjs";

/** Messages that differ, and files in a folder. */
const DIFFERENT = 100;

/** What such messages are found to be: unsigned ones, those of age, and all where no rules hold. */
const EXPECTED = ["unsigned", "unnamed-recipient", "not-governed"];

/**
 * @typedef {import("./measure.mjs").At} At
 * @typedef {{ wall: number, processor: number }} Seconds
 */

/** @param {{ quick: boolean }} options */
export async function audit({ quick }) {
  const files = quick ? 2000 : 20_000;
  const rounds = quick ? 1 : 3;
  await inFolder(async (folder) => {
    const at = (/** @type {string} */ name) => path.join(folder, name);
    const trees = makeTrees(at, files);
    const runs = trees.map(() => /** @type {Seconds[]} */ ([]));
    for (let round = 0; round < rounds; round++) {
      for (const [i, { tree }] of trees.entries()) runs[i]?.push(audited(at, tree, files));
    }
    console.log(`\n### audit of small messages (${files} files, ${rounds} rounds)\n`);
    console.log("| messages | wall s | files/s | processor s |");
    console.log("| --- | ---: | ---: | ---: |");
    for (const [i, { name }] of trees.entries()) {
      const wall = Math.min(...(runs[i] ?? []).map((one) => one.wall));
      const processor = Math.min(...(runs[i] ?? []).map((one) => one.processor));
      const cells = [wall.toFixed(2), (files / wall).toFixed(0), processor.toFixed(2)];
      console.log(`| ${[name, ...cells].join(" | ")} |`);
    }
  });
}

/** @param {At} at @param {number} files */
function makeTrees(at, files) {
  fs.mkdirSync(at("home"));
  const signers = {
    "P-256": crypto.generateKeyPairSync("ec", { namedCurve: "P-256" }),
    Ed25519: crypto.generateKeyPairSync("ed25519"),
    "RSA-3072": crypto.generateKeyPairSync("rsa", { modulusLength: 3072 }),
  };
  writePair(at, "recipient", crypto.generateKeyPairSync("x25519"));
  run(at, ["recipients", "add", "-q", "recipient", at("recipient.pem")]);
  for (const [name, pair] of Object.entries(signers)) {
    writePair(at, name, pair);
    run(at, ["senders", "add", "-q", name.toLowerCase(), at(`${name}.pem`)]);
  }
  const plain = Array.from({ length: DIFFERENT }, (_, i) => at(`${i}.txt`));
  for (const file of plain) fs.writeFileSync(file, crypto.randomBytes(1024));
  const kinds = [
    { name: "not signed", options: [] },
    ...Object.keys(signers).map((name) => ({
      name: `signed, ${name}`,
      options: ["--sign-with", at(`${name}.key`)],
    })),
    { name: "age, X25519", options: ["--format", "age"] },
  ];
  return kinds.map(({ name, options }, i) => {
    const sealed = at(`sealed-${i}`);
    fs.mkdirSync(sealed);
    run(at, ["seal", "-q", "-r", "recipient", ...options, "-o", sealed, ...plain]);
    const tree = at(`tree-${i}`);
    fill(tree, sealed, files);
    return { name, tree };
  });
}

/** @param {At} at @param {string} name @param {crypto.KeyPairKeyObjectResult} pair */
function writePair(at, name, { publicKey, privateKey }) {
  fs.writeFileSync(at(`${name}.pem`), publicKey.export({ type: "spki", format: "pem" }));
  const key = privateKey.export({ type: "pkcs8", format: "pem" });
  fs.writeFileSync(at(`${name}.key`), key, { mode: 0o600 });
}

/** @param {string} tree @param {string} sealed @param {number} files */
function fill(tree, sealed, files) {
  const messages = fs.readdirSync(sealed).map((name) => fs.readFileSync(path.join(sealed, name)));
  for (let i = 0; i < files; i++) {
    const folder = path.join(tree, String(Math.floor(i / DIFFERENT)));
    if (i % DIFFERENT === 0) fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, `${i}.p11s`), messages[i % messages.length] ?? "");
  }
}

/** @param {At} at @param {string} tree @param {number} files @returns {Seconds} */
function audited(at, tree, files) {
  const ignored = EXPECTED.flatMap((kind) => ["--ignore", kind]);
  const words = ["audit", "--tree", "--strict", "--json", ...ignored, tree];
  const started = process.hrtime.bigint();
  const { stdout, processor } = run(at, words);
  const wall = Number(process.hrtime.bigint() - started) / 1e9;
  const { messages } = JSON.parse(stdout);
  if (messages !== files) throw new Error(`${messages} messages were looked at, not ${files}`);
  return { wall, processor };
}

/** Runs p11seal; the shell counts the processor time. @param {At} at @param {string[]} args */
function run(at, args) {
  const words = ["-c", '"$@" && times >&2', "sh", ...p11seal(...args)];
  const env = { ...process.env, P11SEAL_HOME: at("home") };
  const done = spawnSync("sh", words, { encoding: "utf8", env });
  if (done.status !== 0) throw new Error(`${args[0] ?? ""}: ${done.stderr}`);
  const [children = ""] = done.stderr.trim().split("\n").slice(-1);
  const times = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  const processor = times.reduce((sum, [, m, s]) => sum + 60 * Number(m) + Number(s), 0);
  return { stdout: done.stdout, processor };
}
