/**
 * `npm run bench [-- --quick] [-- --small]`: how long sealing and opening take, and how much memory.
 *
 * Times mean something only beside one another in one run: the commands of a table are run in turn,
 * A B C A B C …, with a `sync` before each, and the lowest and the median of their wall times are
 * given. Memory is the kernel's high-water mark of the process (Linux only).
 */
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { small } from "./bench/small.mjs";
import { ensureBuild, ensureDependencies } from "./lib/dependencies.mjs";
import { root, runMain } from "./lib/run.mjs";

const MIB = 1024 * 1024;
const CLI = path.join(root, "dist", "cli", "main.js");
const quick = process.argv.includes("--quick");
const ROUNDS = quick ? 3 : 9;
const SIZE = quick ? 256 * MIB : 1024 * MIB;
const SPARSE = quick ? 1024 * MIB : 4096 * MIB;

/** A command line of the program. @param {string[]} args */
const p11seal = (...args) => [process.execPath, CLI, ...args];

/**
 * @typedef {{ name: string, command: string[], stdin?: string, stdout?: string, clean?: string[] }} Case
 * @typedef {{ ms: number, rssMiB: number | null }} Run
 */

/** @returns {Promise<number>} */
async function main() {
  ensureDependencies();
  await ensureBuild();
  const folder = fs.mkdtempSync(
    path.join(process.env["BENCH_DIR"] ?? os.tmpdir(), "p11seal-bench-"),
  );
  try {
    describeMachine();
    const at = (/** @type {string} */ name) => path.join(folder, name);
    makeInputs(at);
    await small({ quick });
    if (process.argv.includes("--small")) return 0;
    await table(`${SIZE / MIB} MiB, file to file (${ROUNDS} rounds)`, fileToFile(at));
    await table(`${SIZE / MIB} MiB, stdin to stdout (${ROUNDS} rounds)`, throughPipes(at));
    await table(`memory: ${SPARSE / MIB} MiB of zeros, sparse (1 round)`, sparse(at), 1);
    return 0;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function describeMachine() {
  const [cpu] = os.cpus();
  console.log(
    `${cpu?.model ?? "?"}, ${os.cpus().length} cores, ${Math.round(os.totalmem() / 1024 / MIB)} GiB`,
  );
  console.log(
    `${os.type()} ${os.release()}, Node ${process.version}, OpenSSL ${process.versions.openssl}`,
  );
  for (const [tool, flag] of [
    ["age", "--version"],
    ["openssl", "version"],
  ]) {
    const found = spawnSync(String(tool), [String(flag)], { encoding: "utf8" });
    console.log(`${tool}: ${found.status === 0 ? found.stdout.trim() : "not installed, left out"}`);
  }
}

/** @param {(name: string) => string} at */
function makeInputs(at) {
  const run = (/** @type {string} */ program, /** @type {string[]} */ ...args) => {
    const done = spawnSync(program, args, { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`${program} ${args.join(" ")}: ${done.stderr}`);
  };
  run(
    "openssl",
    "genpkey",
    "-algorithm",
    "EC",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-out",
    at("key.pem"),
  );
  run("openssl", "pkey", "-in", at("key.pem"), "-pubout", "-out", at("pub.pem"));
  const block = Buffer.alloc(MIB);
  const file = fs.openSync(at("plain"), "w");
  for (let done = 0; done < SIZE; done += MIB) {
    block.writeUInt32BE(done / MIB);
    crypto.getRandomValues(block.subarray(0, 65_536));
    fs.writeSync(file, block);
  }
  fs.closeSync(file);
  fs.writeFileSync(at("small"), block.subarray(0, 1024));
  fs.writeFileSync(at("zeros"), "");
  fs.truncateSync(at("zeros"), SPARSE);
  const seal = (/** @type {string} */ from, /** @type {string} */ to) => {
    run(process.execPath, CLI, "seal", "-r", at("pub.pem"), "-o", at(to), at(from));
  };
  seal("plain", "plain.p11s");
  seal("small", "small.p11s");
  if (has("age")) {
    run("age-keygen", "-o", at("age.key"));
    const to = ageRecipient(at);
    run("age", "-r", to, "-o", at("plain.age"), at("plain"));
  }
}

/** @param {(name: string) => string} at */
function ageRecipient(at) {
  return spawnSync("age-keygen", ["-y", at("age.key")], { encoding: "utf8" }).stdout.trim();
}

/** @param {string} program */
function has(program) {
  return spawnSync(program, ["--version"]).error === undefined;
}

/** @param {(name: string) => string} at @returns {Case[]} */
function fileToFile(at) {
  const clean = [at("o")];
  const cases = [
    { name: "cp", command: ["cp", at("plain"), at("o")], clean },
    {
      name: "p11seal seal",
      command: p11seal("seal", "-r", at("pub.pem"), "-o", at("o"), at("plain")),
      clean,
    },
    {
      name: "p11seal open",
      command: p11seal("open", "-q", "-i", at("key.pem"), "-o", at("o"), at("plain.p11s")),
      clean,
    },
  ];
  if (has("age")) {
    cases.push(
      {
        name: "age -e",
        command: ["age", "-r", ageRecipient(at), "-o", at("o"), at("plain")],
        clean,
      },
      {
        name: "age -d",
        command: ["age", "-d", "-i", at("age.key"), "-o", at("o"), at("plain.age")],
        clean,
      },
    );
  }
  return cases;
}

/** @param {(name: string) => string} at @returns {Case[]} */
function throughPipes(at) {
  const cases = [
    { name: "cat", command: ["cat"], stdin: at("plain"), stdout: "cat" },
    {
      name: "p11seal seal",
      command: p11seal("seal", "-r", at("pub.pem"), "-o", "-"),
      stdin: at("plain"),
      stdout: "cat",
    },
    {
      name: "p11seal open",
      command: p11seal("open", "-q", "-i", at("key.pem"), "-o", "-"),
      stdin: at("plain.p11s"),
      stdout: "cat",
    },
  ];
  if (has("age")) {
    cases.push(
      {
        name: "age -e",
        command: ["age", "-r", ageRecipient(at)],
        stdin: at("plain"),
        stdout: "cat",
      },
      {
        name: "age -d",
        command: ["age", "-d", "-i", at("age.key")],
        stdin: at("plain.age"),
        stdout: "cat",
      },
    );
  }
  return cases;
}

/** @param {(name: string) => string} at @returns {Case[]} */
function sparse(at) {
  return [
    {
      name: "p11seal seal, file",
      command: p11seal("seal", "-r", at("pub.pem"), "-o", at("z.p11s"), at("zeros")),
    },
    {
      name: "p11seal open, file",
      command: p11seal("open", "-q", "-i", at("key.pem"), "-o", at("o"), at("z.p11s")),
      clean: [at("o")],
    },
    {
      name: "p11seal open, pipe",
      command: p11seal("open", "-q", "-i", at("key.pem"), "-o", "-"),
      stdin: at("z.p11s"),
      stdout: "cat",
    },
  ];
}

/**
 * @param {string} title
 * @param {Case[]} cases
 * @param {number} [rounds]
 */
async function table(title, cases, rounds = ROUNDS) {
  /** @type {Run[][]} */
  const runs = cases.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, item] of cases.entries()) {
      for (const file of item.clean ?? []) fs.rmSync(file, { force: true });
      spawnSync("sync");
      runs[i]?.push(await measure(item));
      for (const file of item.clean ?? []) fs.rmSync(file, { force: true });
    }
  }
  console.log(`\n### ${title}\n`);
  console.log("| command | lowest s | median s | × first | memory MiB |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  const base = lowest(runs[0] ?? []);
  for (const [i, item] of cases.entries()) {
    const own = runs[i] ?? [];
    const memory = Math.max(...own.map(({ rssMiB }) => rssMiB ?? Number.NaN));
    const cells = [
      item.name,
      (lowest(own) / 1000).toFixed(3),
      (median(own) / 1000).toFixed(3),
      (lowest(own) / base).toFixed(2),
      Number.isNaN(memory) ? "–" : memory.toFixed(0),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

/** @param {Run[]} runs */
function lowest(runs) {
  return Math.min(...runs.map(({ ms }) => ms));
}

/** @param {Run[]} runs */
function median(runs) {
  const sorted = runs.map(({ ms }) => ms).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/**
 * One run of a command, its output thrown away by a reader on the other end of a real pipe.
 * @param {Case} item
 * @returns {Promise<Run>}
 */
function measure(item) {
  const [program = "", ...args] = item.command;
  const stdin = item.stdin === undefined ? "ignore" : fs.openSync(item.stdin, "r");
  const started = process.hrtime.bigint();
  const sink =
    item.stdout === undefined ? null : spawn("cat", [], { stdio: ["pipe", "ignore", "inherit"] });
  const stdout =
    sink === null ? "ignore" : /** @type {import("node:stream").Writable} */ (sink.stdin);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: [stdin, stdout, "inherit"] });
    let rssMiB = 0;
    const timer = setInterval(() => {
      rssMiB = Math.max(rssMiB, highWaterMark(child.pid));
    }, 20);
    child.on("error", reject);
    child.on("exit", (status, signal) => {
      const ms = Number(process.hrtime.bigint() - started) / 1e6;
      clearInterval(timer);
      sink?.stdin?.destroy();
      if (typeof stdin === "number") fs.closeSync(stdin);
      if (status === 0) resolve({ ms, rssMiB: rssMiB > 0 ? rssMiB : null });
      else reject(new Error(`${item.name} ended with ${String(status ?? signal)}`));
    });
  });
}

/** The most memory a process had so far, MiB; 0 where the kernel does not tell. */
function highWaterMark(/** @type {number | undefined} */ pid) {
  try {
    const status = fs.readFileSync(`/proc/${String(pid)}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

await runMain(main);
