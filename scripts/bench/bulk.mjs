/**
 * `npm run bench -- --bulk [--quick]`: what large messages cost: from file to file on the disk and
 * in memory, through pipes, signed and with a policy; and how much memory.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { inFolder, keysIn, MIB, p11seal, randomFile, run, sparse, table } from "./measure.mjs";

/** @typedef {import("./measure.mjs").Case} Case @typedef {import("./measure.mjs").At} At */

/** @param {{ quick: boolean }} options */
export async function bulk({ quick }) {
  const rounds = quick ? 3 : 9;
  const size = quick ? 256 * MIB : 1024 * MIB;
  const title = (/** @type {string} */ what) => `${size / MIB} MiB, ${what} (${rounds} rounds)`;
  await inFolder(async (folder) => {
    const at = inputs(folder, size);
    await table(title("file to file"), fileToFile(at), rounds);
    await inMemory(at, size, (cases) =>
      table(title("file to file in memory, tmpfs"), cases, rounds),
    );
    await table(title("pipe to pipe"), throughPipes(at), rounds);
    const signed = signedCases(at);
    if (signed === undefined) console.log("\nSigned: no database here, left out");
    else await table(title("signed"), signed, rounds);
    await table("memory (1 round)", memory(at, quick), 1);
  });
}

/**
 * Keys, a file that can't be compressed, and that file sealed. @param {string} folder @param
 * {number} size
 */
function inputs(folder, size) {
  const at = keysIn(folder);
  randomFile(at("plain"), size);
  run(...p11seal("seal", "-r", at("pub.pem"), "-o", at("plain.p11s"), at("plain")));
  if (has("age")) {
    run("age-keygen", "-o", at("age.key"));
    run("age", "-r", ageRecipient(at), "-o", at("plain.age"), at("plain"));
  }
  return at;
}

/**
 * The same files in memory, where there is room. @param {At} at @param {number} size @param
 * {(cases: Case[]) => Promise<void>} work
 */
async function inMemory(at, size, work) {
  const folder = memoryFolder(3 * size);
  if (folder === undefined) {
    console.log("\nIn memory: no tmpfs with room for it, left out");
    return;
  }
  try {
    for (const name of ["key.pem", "pub.pem", "age.key", "plain", "plain.p11s", "plain.age"]) {
      if (fs.existsSync(at(name))) fs.copyFileSync(at(name), path.join(folder, name));
    }
    await work(fileToFile((name) => path.join(folder, name)));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {number} bytes @returns {string | undefined} */
function memoryFolder(bytes) {
  try {
    const { bavail, bsize } = fs.statfsSync("/dev/shm");
    if (bavail * bsize < 1.5 * bytes || os.freemem() < 2 * bytes) return undefined;
    return fs.mkdtempSync("/dev/shm/p11seal-bench-");
  } catch {
    return undefined;
  }
}

/** @param {At} at */
function ageRecipient(at) {
  return spawnSync("age-keygen", ["-y", at("age.key")], { encoding: "utf8" }).stdout.trim();
}

/** @param {string} program */
function has(program) {
  return spawnSync(program, ["--version"]).error === undefined;
}

/** @param {At} at @returns {Case[]} */
function fileToFile(at) {
  const clean = [at("o")];
  const reads = [at("plain")];
  const seal = p11seal("seal", "-r", at("pub.pem"), "-o", at("o"), at("plain"));
  const open = p11seal("open", "-q", "-i", at("key.pem"), "-o", at("o"), at("plain.p11s"));
  /** @type {Case[]} */
  const cases = [
    { name: "cp", command: ["cp", at("plain"), at("o")], reads, clean },
    { name: "p11seal seal", command: seal, reads, clean },
    { name: "p11seal open", command: open, reads: [at("plain.p11s")], clean },
  ];
  if (!has("age")) return cases;
  const encrypt = ["age", "-r", ageRecipient(at), "-o", at("o"), at("plain")];
  const decrypt = ["age", "-d", "-i", at("age.key"), "-o", at("o"), at("plain.age")];
  return [
    ...cases,
    { name: "age -e", command: encrypt, reads, clean },
    { name: "age -d", command: decrypt, reads: [at("plain.age")], clean },
  ];
}

/** @param {At} at @returns {Case[]} */
function throughPipes(at) {
  const piped = (/** @type {string} */ stdin) => ({ stdin, pipes: true, reads: [stdin] });
  const [plain, sealed] = [at("plain"), at("plain.p11s")];
  const open = p11seal("open", "-q", "-i", at("key.pem"));
  /** @type {Case[]} */
  const cases = [
    { name: "cat", command: ["cat"], ...piped(plain) },
    { name: "p11seal seal", command: p11seal("seal", "-r", at("pub.pem")), ...piped(plain) },
    { name: "p11seal open", command: open, ...piped(sealed) },
  ];
  if (!has("age")) return cases;
  const decrypt = ["age", "-d", "-i", at("age.key")];
  return [
    ...cases,
    { name: "age -e", command: ["age", "-r", ageRecipient(at)], ...piped(plain) },
    { name: "age -d", command: decrypt, ...piped(at("plain.age")) },
  ];
}

/** @param {At} at @returns {Case[] | undefined} */
function signedCases(at) {
  const env = { ...process.env, P11SEAL_HOME: at("home") };
  const made = [
    p11seal("senders", "add", "zoe", at("sign.pub.pem")),
    p11seal("ledger", "init", "--since", "7d"),
    p11seal(...sealing(at), "--sign-with", at("sign.pem"), "-o", at("signed"), at("plain")),
  ];
  for (const [program = "", ...args] of made) {
    const done = spawnSync(program, args, { encoding: "utf8", env });
    if (done.status !== 0 && /libsql|database/.test(done.stderr)) return undefined;
    // A ledger that is there already will do.
    if (done.status !== 0 && args[1] !== "ledger") throw new Error(done.stderr);
  }
  fs.cpSync(at("home"), at("home-before"), { recursive: true });
  const before = () => {
    fs.rmSync(at("home"), { recursive: true, force: true });
    fs.cpSync(at("home-before"), at("home"), { recursive: true });
  };
  const clean = [at("o")];
  const [plain, sealed, signed] = ["plain", "plain.p11s", "signed"].map((name) => ({
    ...{ env, clean, reads: [at(name)] },
  }));
  const open = ["open", "-q", "-i", at("key.pem"), "-o", at("o")];
  const sign = ["--sign-with", at("sign.pem"), "-o", at("o"), at("plain")];
  const seal = p11seal(...sealing(at), "-o", at("o"), at("plain"));
  return [
    { name: "seal", command: seal, ...plain },
    { name: "seal, signed", command: p11seal(...sealing(at), ...sign), ...plain, before },
    { name: "open", command: p11seal(...open, at("plain.p11s")), ...sealed },
    { name: "open, signed", command: p11seal(...open, at("signed")), ...signed, base: "open" },
    {
      name: "open, flushed",
      command: p11seal(...open, "--sync", at("plain.p11s")),
      ...{ ...sealed, base: "open" },
    },
    {
      name: "open, signed, with policy, flushed",
      command: p11seal(...open, "--from", "any", at("signed")),
      ...{ ...signed, before, base: "open, flushed" },
    },
  ];
}

/** @param {At} at */
const sealing = (at) => ["seal", "-q", "-r", at("pub.pem")];

/** @param {At} at @param {boolean} quick @returns {Case[]} */
function memory(at, quick) {
  const sizes = quick ? [1, 256] : [1, 64, 1024, 4096];
  const largest = quick ? 1024 : 16 * 1024;
  /** @type {Case[]} */
  const cases = sizes.flatMap((mib) => {
    const zeros = sparse(at, mib * MIB);
    const seal = p11seal("seal", "-r", at("pub.pem"), "-o", at("z.p11s"), zeros);
    // What replaces a file is flushed.
    const before = () => fs.rmSync(at("z.p11s"), { force: true });
    const open = p11seal("open", "-q", "-i", at("key.pem"), "-o", at("o"), at("z.p11s"));
    return [
      { name: `seal ${mib} MiB, file`, command: seal, before },
      { name: `open ${mib} MiB, file`, command: open, clean: [at("o")] },
    ];
  });
  return [
    ...cases,
    {
      name: `seal ${largest} MiB, pipe`,
      command: p11seal("seal", "-r", at("pub.pem")),
      ...{ stdin: sparse(at, largest * MIB), pipes: true },
    },
    {
      name: `open ${sizes.at(-1)} MiB, pipe`,
      command: p11seal("open", "-q", "-i", at("key.pem")),
      ...{ stdin: at("z.p11s"), pipes: true },
    },
  ];
}
