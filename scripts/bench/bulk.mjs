/**
 * `npm run bench -- --bulk [--quick]`: what large messages cost: from file to file on the disk and in
 * memory, through pipes, signed and with a policy; how much memory; how cost grows with size.
 *
 * Times mean something only beside one another in one run: the commands of a table are run in turn,
 * A B C A B C …, with a `sync` before each, and the lowest, the median and the highest of their wall
 * times are given. Memory is the kernel's high-water mark of the process (Linux only).
 */
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { root } from "../lib/run.mjs";

const KIB = 1024;
const MIB = 1024 * KIB;
const CLI = path.join(root, "dist", "cli", "main.js");

/**
 * @typedef {{
 *   name: string, command: string[], env?: NodeJS.ProcessEnv, before?: () => void,
 *   stdin?: string, pipes?: boolean, clean?: string[], base?: string,
 * }} Case `pipes`: stdin comes from a program and stdout goes to one, through pipes of the kernel.
 * `base`: the case whose time this one's is divided by; the first, if it isn't said.
 * @typedef {{ ms: number, rssMiB: number | null }} Run
 */

/** A command line of the program. @param {string[]} args */
const p11seal = (...args) => [process.execPath, CLI, ...args];

/** @param {{ quick: boolean }} options */
export async function bulk({ quick }) {
  const rounds = quick ? 3 : 9;
  const size = quick ? 256 * MIB : 1024 * MIB;
  const folder = fs.mkdtempSync(
    path.join(process.env["BENCH_DIR"] ?? os.tmpdir(), "p11seal-bench-"),
  );
  const shm = memoryFolder(3 * size);
  try {
    const at = inputs(folder, size);
    await table(`${size / MIB} MiB, file to file (${rounds} rounds)`, fileToFile(at), rounds);
    if (shm === undefined) {
      console.log("\nIn memory: no tmpfs with room for it, left out");
    } else {
      for (const name of ["key.pem", "pub.pem", "age.key", "plain", "plain.p11s", "plain.age"]) {
        if (fs.existsSync(at(name))) fs.copyFileSync(at(name), path.join(shm, name));
      }
      const there = (/** @type {string} */ name) => path.join(shm, name);
      const title = `${size / MIB} MiB, file to file in memory, tmpfs (${rounds} rounds)`;
      await table(title, fileToFile(there), rounds);
      fs.rmSync(shm, { recursive: true });
    }
    await table(`${size / MIB} MiB, pipe to pipe (${rounds} rounds)`, throughPipes(at), rounds);
    const signed = signedCases(at);
    if (signed === undefined) console.log("\nSigned: no database here, left out");
    else await table(`${size / MIB} MiB, signed (${rounds} rounds)`, signed, rounds);
    await table("memory (1 round)", memory(at, quick), 1);
    await growth(at, quick);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
    if (shm !== undefined) fs.rmSync(shm, { recursive: true, force: true });
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

/** @typedef {(name: string) => string} At */

/** Keys, a file that can't be compressed, and that file sealed. @param {string} folder @param {number} size @returns {At} */
function inputs(folder, size) {
  const at = (/** @type {string} */ name) => path.join(folder, name);
  const ec = ["-algorithm", "EC", "-pkeyopt"];
  run("openssl", "genpkey", ...ec, "ec_paramgen_curve:P-256", "-out", at("key.pem"));
  run("openssl", "pkey", "-in", at("key.pem"), "-pubout", "-out", at("pub.pem"));
  run("openssl", "genpkey", ...ec, "ec_paramgen_curve:P-384", "-out", at("sign.pem"));
  run("openssl", "pkey", "-in", at("sign.pem"), "-pubout", "-out", at("sign.pub.pem"));
  for (const name of ["key.pem", "sign.pem"]) fs.chmodSync(at(name), 0o600);
  const block = Buffer.alloc(MIB);
  const file = fs.openSync(at("plain"), "w");
  for (let done = 0; done < size; done += MIB) {
    for (let i = 0; i < MIB; i += 65_536) crypto.getRandomValues(block.subarray(i, i + 65_536));
    fs.writeSync(file, block);
  }
  fs.closeSync(file);
  run(...p11seal("seal", "-r", at("pub.pem"), "-o", at("plain.p11s"), at("plain")));
  if (has("age")) {
    run("age-keygen", "-o", at("age.key"));
    run("age", "-r", ageRecipient(at), "-o", at("plain.age"), at("plain"));
  }
  return at;
}

/** @param {string[]} words */
function run(...words) {
  const [program = "", ...args] = words;
  const done = spawnSync(program, args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${words.join(" ")}: ${done.stderr}`);
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
  const seal = p11seal("seal", "-r", at("pub.pem"), "-o", at("o"), at("plain"));
  const open = p11seal("open", "-q", "-i", at("key.pem"), "-o", at("o"), at("plain.p11s"));
  /** @type {Case[]} */
  const cases = [
    { name: "cp", command: ["cp", at("plain"), at("o")], clean },
    { name: "p11seal seal", command: seal, clean },
    { name: "p11seal open", command: open, clean },
  ];
  if (!has("age")) return cases;
  const encrypt = ["age", "-r", ageRecipient(at), "-o", at("o"), at("plain")];
  const decrypt = ["age", "-d", "-i", at("age.key"), "-o", at("o"), at("plain.age")];
  return [
    ...cases,
    { name: "age -e", command: encrypt, clean },
    { name: "age -d", command: decrypt, clean },
  ];
}

/** @param {At} at @returns {Case[]} */
function throughPipes(at) {
  const pipes = true;
  const [plain, sealed] = [at("plain"), at("plain.p11s")];
  const open = p11seal("open", "-q", "-i", at("key.pem"));
  /** @type {Case[]} */
  const cases = [
    { name: "cat", command: ["cat"], stdin: plain, pipes },
    { name: "p11seal seal", command: p11seal("seal", "-r", at("pub.pem")), stdin: plain, pipes },
    { name: "p11seal open", command: open, stdin: sealed, pipes },
  ];
  if (!has("age")) return cases;
  const decrypt = ["age", "-d", "-i", at("age.key")];
  return [
    ...cases,
    { name: "age -e", command: ["age", "-r", ageRecipient(at)], stdin: plain, pipes },
    { name: "age -d", command: decrypt, stdin: at("plain.age"), pipes },
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
  const open = ["open", "-q", "-i", at("key.pem"), "-o", at("o")];
  const sign = ["--sign-with", at("sign.pem"), "-o", at("o"), at("plain")];
  const seal = p11seal(...sealing(at), "-o", at("o"), at("plain"));
  return [
    { name: "seal", command: seal, env, clean },
    { name: "seal, signed", command: p11seal(...sealing(at), ...sign), env, before, clean },
    { name: "open", command: p11seal(...open, at("plain.p11s")), env, clean },
    { name: "open, signed", command: p11seal(...open, at("signed")), env, clean, base: "open" },
    {
      name: "open, flushed",
      command: p11seal(...open, "--sync", at("plain.p11s")),
      ...{ env, clean, base: "open" },
    },
    {
      name: "open, signed, with policy, flushed",
      command: p11seal(...open, "--from", "any", at("signed")),
      ...{ env, before, clean, base: "open, flushed" },
    },
  ];
}

/** @param {At} at */
const sealing = (at) => ["seal", "-q", "-r", at("pub.pem")];

/** Files of nothing: they take no room, nor does what goes to /dev/null. @param {At} at @param {number} size */
function sparse(at, size) {
  const name = at(`zeros-${size}`);
  fs.closeSync(fs.openSync(name, "a"));
  fs.truncateSync(name, size);
  return name;
}

/** @param {At} at @param {boolean} quick @returns {Case[]} */
function memory(at, quick) {
  const sizes = quick ? [1, 256] : [1, 64, 1024, 4096];
  const largest = quick ? 1024 : 16 * 1024;
  /** @type {Case[]} */
  const cases = sizes.flatMap((mib) => {
    const zeros = sparse(at, mib * MIB);
    const seal = p11seal("seal", "-r", at("pub.pem"), "-o", at("z.p11s"), "--force", zeros);
    const open = p11seal("open", "-q", "-i", at("key.pem"), "-o", at("o"), at("z.p11s"));
    return [
      { name: `seal ${mib} MiB, file`, command: seal },
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

/** How the time grows, on a scale where a tenfold is a step. @param {At} at @param {boolean} quick */
async function growth(at, quick) {
  const sizes = [KIB, 16 * KIB, 256 * KIB, 4 * MIB, 64 * MIB, 1024 * MIB];
  if (!quick) sizes.push(4096 * MIB, 16_384 * MIB);
  console.log("\n### sealing zeros to /dev/null, by size (lowest of 3; a tenfold is ten signs)\n");
  console.log("```");
  for (const size of sizes) {
    const command = p11seal("seal", "-r", at("pub.pem"), "-o", "/dev/null", sparse(at, size));
    const runs = [];
    for (let i = 0; i < 3; i++) runs.push(await measure({ name: "growth", command }));
    const { ms, rssMiB } = runs.reduce((a, b) => (b.ms < a.ms ? b : a));
    const bar = "#".repeat(Math.max(1, Math.round(10 * Math.log10(ms / 10))));
    const rate = ms < 1000 ? "" : `, ${(size / ms / 1e6).toFixed(1)} GB/s`;
    const figures = `${(ms / 1000).toFixed(2)} s${rate}, ${rssMiB?.toFixed(0) ?? "?"} MiB`;
    console.log(`${human(size).padStart(8)} ${bar} ${figures}`);
  }
  console.log("```");
}

/** @param {number} bytes */
function human(bytes) {
  if (bytes < MIB) return `${bytes / KIB} KiB`;
  return bytes < 1024 * MIB ? `${bytes / MIB} MiB` : `${bytes / MIB / 1024} GiB`;
}

/** @param {string} title @param {Case[]} cases @param {number} rounds */
async function table(title, cases, rounds) {
  /** @type {Run[][]} */
  const runs = cases.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, item] of cases.entries()) {
      for (const file of item.clean ?? []) fs.rmSync(file, { force: true });
      item.before?.();
      spawnSync("sync");
      runs[i]?.push(await measure(item));
      for (const file of item.clean ?? []) fs.rmSync(file, { force: true });
    }
  }
  console.log(`\n### ${title}\n`);
  console.log("| command | lowest s | median s | highest s | × (lowest) | memory MiB |");
  console.log("| --- | ---: | ---: | ---: | ---: | ---: |");
  for (const [i, item] of cases.entries()) {
    const own = (runs[i] ?? []).map(({ ms }) => ms / 1000).sort((a, b) => a - b);
    const base = Math.max(
      0,
      cases.findIndex(({ name }) => name === item.base),
    );
    const baseLowest = Math.min(...(runs[base] ?? []).map(({ ms }) => ms / 1000));
    const rss = Math.max(...(runs[i] ?? []).map(({ rssMiB }) => rssMiB ?? Number.NaN));
    const cells = [
      item.name,
      ...[own[0], own[Math.floor(own.length / 2)], own.at(-1)].map((s) => (s ?? 0).toFixed(3)),
      `${((own[0] ?? 0) / baseLowest).toFixed(2)}${item.base === undefined ? "" : ` ${item.base}`}`,
      Number.isNaN(rss) ? "–" : rss.toFixed(0),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

/** @param {Case} item @returns {Promise<Run>} */
function measure(item) {
  const [program = "", ...args] = item.command;
  const ends = item.pipes === true ? kernelPipes(item.stdin ?? "/dev/null") : undefined;
  const started = process.hrtime.bigint();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: item.env ?? process.env,
      stdio: [ends?.stdin ?? "ignore", ends?.stdout ?? "ignore", "inherit"],
    });
    ends?.started();
    let rssMiB = 0;
    const timer = setInterval(() => {
      rssMiB = Math.max(rssMiB, highWaterMark(child.pid));
    }, 10);
    child.on("error", reject);
    child.on("exit", (status, signal) => {
      const ms = Number(process.hrtime.bigint() - started) / 1e6;
      clearInterval(timer);
      ends?.remove();
      if (status === 0) resolve({ ms, rssMiB: rssMiB > 0 ? rssMiB : null });
      else reject(new Error(`${item.name} ended with ${String(status ?? signal)}`));
    });
  });
}

/** A pipe from `cat FILE`, and one to `cat > /dev/null`. @param {string} file */
function kernelPipes(file) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "p11seal-pipes-"));
  const [from, to] = [path.join(folder, "from"), path.join(folder, "to")];
  run("mkfifo", from, to);
  const words = ["-c", 'cat "$0" > "$1"', file, from];
  spawn("sh", words, { stdio: ["ignore", "ignore", "ignore"] });
  spawn("sh", ["-c", 'cat < "$0" > /dev/null', to], { stdio: "ignore" });
  // Each waits until the other end is open.
  const stdin = fs.openSync(from, "r");
  const stdout = fs.openSync(to, "w");
  return {
    ...{ stdin, stdout },
    /** The ends are the program's now. */
    started() {
      fs.closeSync(stdin);
      fs.closeSync(stdout);
    },
    remove: () => fs.rmSync(folder, { recursive: true }),
  };
}

/** The most memory a process had so far, MiB; 0 where the kernel does not tell. @param {number | undefined} pid */
function highWaterMark(pid) {
  try {
    const status = fs.readFileSync(`/proc/${String(pid)}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
