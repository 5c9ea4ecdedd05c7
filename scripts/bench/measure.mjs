/**
 * How the bench measures. Times can be compared only within one run: the commands of a table are
 * run in turn, A B C A B C …, each from the same state of the machine, and the lowest, the median
 * and the highest of their wall times are given. Memory is the kernel's
 * high-water mark of the process (Linux only).
 */
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { root } from "../lib/run.mjs";

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
const CLI = path.join(root, "dist", "cli", "main.js");
const READ = Buffer.alloc(MIB);

/**
 * @typedef {{ name: string, command: string[], env?: NodeJS.ProcessEnv, before?: () => void,
 *   stdin?: string, pipes?: boolean, reads?: string[], clean?: string[], base?: string, }} Case
 *   `pipes`: stdin comes from a program and stdout goes to one, through pipes of the kernel.
 *   `reads`: its inputs. `clean`: its outputs. `base`: the case whose time this one's is divided
 *   by; the first case if it is left out.
 * @typedef {{ ms: number, rssMiB: number | null }} Run
 * @typedef {(name: string) => string} At The path of a file of the bench.
 */

/** A command line of the program. @param {string[]} args */
export const p11seal = (...args) => [process.execPath, CLI, ...args];

/**
 * Calls `work` with a folder that is gone afterwards. @param {(folder: string) => Promise<void>}
 * work
 */
export async function inFolder(work) {
  const parent = process.env["BENCH_DIR"] ?? os.tmpdir();
  const folder = fs.mkdtempSync(path.join(parent, "p11seal-bench-"));
  try {
    await work(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs the cases in turn, and prints what they took. @param {string} title @param {Case[]} cases
 * @param {number} rounds
 */
export async function table(title, cases, rounds) {
  /** @type {Run[][]} */
  const runs = cases.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, item] of cases.entries()) {
      runs[i]?.push(await measured(item));
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

/**
 * One run of a command. Every run starts alike: outputs removed, everything written to the disk,
 * inputs in the page cache.
 * @param {Case} item
 */
export async function measured(item) {
  const remove = () => item.clean?.forEach((file) => fs.rmSync(file, { force: true }));
  remove();
  item.before?.();
  spawnSync("sync");
  for (const file of item.reads ?? []) readThrough(file);
  const run = await measure(item);
  remove();
  return run;
}

/** @param {string} file */
function readThrough(file) {
  const descriptor = fs.openSync(file, "r");
  while (fs.readSync(descriptor, READ) > 0);
  fs.closeSync(descriptor);
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
export function kernelPipes(file) {
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

/**
 * The most memory a process had so far, MiB; 0 where the kernel does not tell. @param {number |
 * undefined} pid
 */
function highWaterMark(pid) {
  try {
    const status = fs.readFileSync(`/proc/${String(pid)}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** A recipient's key pair and a sender's, in `folder`. @param {string} folder @returns {At} */
export function keysIn(folder) {
  const at = (/** @type {string} */ name) => path.join(folder, name);
  const ec = ["-algorithm", "EC", "-pkeyopt"];
  run("openssl", "genpkey", ...ec, "ec_paramgen_curve:P-256", "-out", at("key.pem"));
  run("openssl", "pkey", "-in", at("key.pem"), "-pubout", "-out", at("pub.pem"));
  run("openssl", "genpkey", ...ec, "ec_paramgen_curve:P-384", "-out", at("sign.pem"));
  run("openssl", "pkey", "-in", at("sign.pem"), "-pubout", "-out", at("sign.pub.pem"));
  for (const name of ["key.pem", "sign.pem"]) fs.chmodSync(at(name), 0o600);
  return at;
}

/** A file that can't be compressed. @param {string} name @param {number} size */
export function randomFile(name, size) {
  const block = Buffer.alloc(MIB);
  const file = fs.openSync(name, "w");
  for (let done = 0; done < size; done += MIB) {
    for (let i = 0; i < MIB; i += 65_536) crypto.getRandomValues(block.subarray(i, i + 65_536));
    fs.writeSync(file, block);
  }
  fs.closeSync(file);
}

/**
 * Sparse files: they take no room, nor does what goes to /dev/null. @param {At} at @param
 * {number} size
 */
export function sparse(at, size) {
  const name = at(`zeros-${size}`);
  fs.closeSync(fs.openSync(name, "a"));
  fs.truncateSync(name, size);
  return name;
}

/** @param {string[]} words */
export function run(...words) {
  const [program = "", ...args] = words;
  const done = spawnSync(program, args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${words.join(" ")}: ${done.stderr}`);
}

/** @param {number} bytes */
export function human(bytes) {
  if (bytes < MIB) return `${bytes / KIB} KiB`;
  return bytes < GIB ? `${bytes / MIB} MiB` : `${bytes / GIB} GiB`;
}
