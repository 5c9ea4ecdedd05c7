/**
 * `npm run test:mutants [-- WORD…]`: whether a test fails when a guard is taken away. Each entry
 * of scripts/mutants/list.mjs is applied by itself to a copy of the tree, and its test is run
 * there. The run fails if a mutant survives, if an entry no longer fits the source, or if a test
 * fails without any mutant. Words choose entries by their description, source file or test.
 *
 * Without its guard, code may never end. A test that takes far longer than it did without any
 * mutant has failed.
 */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { ensureBuild } from "./lib/build.mjs";
import { cache, root, runMain, say, SetupError } from "./lib/run.mjs";
import { MUTANTS } from "./mutants/list.mjs";
import { mutated } from "./mutants/mutated.mjs";

/** @typedef {import("./mutants/list.mjs").Mutant} Mutant */
/** @typedef {"passed" | "failed" | "endless" | "broken"} Outcome */

/** How long a test may take, as a multiple of all tests' time without any mutant; and besides. */
const TIMES_AS_LONG = 5;
const GRACE_MS = 60_000;

/** @type {Readonly<Record<Outcome, string>>} */
const VERDICTS = {
  failed: "killed",
  endless: "killed by the time limit",
  passed: "SURVIVED",
  broken: "DOES NOT COMPILE",
};

/** What is not copied: nobody needs it, or it is linked. */
const LEFT_OUT = new Set([".git", ".cache", "node_modules", "coverage"]);

await runMain(async () => {
  const words = process.argv.slice(2);
  const chosen = MUTANTS.filter(({ what, file, test }) =>
    words.every((word) => `${what} ${file} ${test}`.includes(word)),
  );
  if (chosen.length === 0) throw new SetupError("no mutant has these words");
  for (const mutant of chosen) mutated(root, mutant);
  await ensureBuild();
  const copy = fs.mkdtempSync(path.join(os.tmpdir(), "p11seal-mutants-"));
  try {
    copyTree(copy);
    const tests = [...new Set(chosen.map(({ test }) => test))];
    say(`${tests.length} test files without any mutant`);
    const startedMs = Date.now();
    const sound = await runTests(copy, tests, false, Infinity);
    const mostMs = GRACE_MS + TIMES_AS_LONG * (Date.now() - startedMs);
    if (sound.outcome !== "passed") {
      throw new SetupError(`${sound.output}\nthe tests have to pass before mutants are tried`);
    }
    const results = [];
    for (const mutant of chosen) {
      results.push({ ...mutant, outcome: await tried(copy, mutant, mostMs) });
    }
    return report(results);
  } finally {
    fs.rmSync(copy, { recursive: true, force: true });
  }
});

/** @param {string} copy */
function copyTree(copy) {
  for (const name of fs.readdirSync(root)) {
    if (LEFT_OUT.has(name)) continue;
    fs.cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
  }
  // What says that dist/ is up to date is the copy's own.
  fs.mkdirSync(path.join(copy, ".cache"));
  const stamp = path.join(".cache", "build.sha256");
  fs.copyFileSync(path.join(root, stamp), path.join(copy, stamp));
  // The modules that tests load were fetched already.
  for (const name of fs.readdirSync(cache)) {
    // The tests' modules are compiled anew: a library is loaded from a folder, not through a link.
    if (name === "testing") continue;
    const target = path.join(copy, ".cache", name);
    if (!fs.existsSync(target)) fs.symlinkSync(path.join(cache, name), target);
  }
  fs.symlinkSync(path.join(root, "node_modules"), path.join(copy, "node_modules"));
}

/**
 * @param {string} copy
 * @param {Mutant} mutant
 * @param {number} mostMs
 */
async function tried(copy, mutant, mostMs) {
  const file = path.join(copy, mutant.file);
  const before = fs.readFileSync(file);
  fs.writeFileSync(file, mutated(copy, mutant));
  try {
    const built = mutant.built === true;
    const { outcome, output } = await runTests(copy, [mutant.test], built, mostMs);
    say(`${VERDICTS[outcome]}: ${mutant.what}`);
    if (outcome === "broken") console.error(output);
    return outcome;
  } finally {
    fs.writeFileSync(file, before);
  }
}

/**
 * `broken`: no test ran, because the mutant does not compile. That kills nothing.
 * @param {string} copy
 * @param {readonly string[]} tests
 * @param {boolean} build they run what is in dist/
 * @param {number} mostMs
 * @returns {Promise<{ outcome: Outcome, output: string }>}
 */
async function runTests(copy, tests, build, mostMs) {
  const results = path.join(copy, "results.json");
  fs.rmSync(results, { force: true });
  const vectors = process.env["P11SEAL_VECTORS"] ?? path.join(root, "..", "shared", "vectors");
  const env = { ...process.env, P11SEAL_TEST_STACKS: "none", P11SEAL_VECTORS: vectors };
  const args = ["scripts/test.mjs", ...(build ? [] : ["--as-built"]), ...tests];
  const jest = ["--json", `--outputFile=${results}`, "--silent"];
  const { output, inTime } = await captureWithin(mostMs, [...args, ...jest], { cwd: copy, env });
  if (!inTime) return { outcome: "endless", output };
  if (!fs.existsSync(results)) return { outcome: "broken", output };
  const found = JSON.parse(fs.readFileSync(results, "utf8"));
  if (found.success === true) return { outcome: "passed", output };
  return { outcome: found.numFailedTests > 0 ? "failed" : "broken", output };
}

/**
 * What Node prints as it runs `args`. A run that takes longer is ended, with all processes that it
 * started.
 * @param {number} mostMs
 * @param {readonly string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<{ output: string, inTime: boolean }>}
 */
function captureWithin(mostMs, args, options) {
  return new Promise((resolve, reject) => {
    // A group of its own, which can be ended as a whole.
    const child = spawn(process.execPath, args, {
      ...options,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    let inTime = true;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (/** @type {string} */ text) => (output += text));
    }
    /** @type {NodeJS.Timeout[]} */
    const timers = [];
    const endLater = (/** @type {number} */ ms, /** @type {NodeJS.Signals} */ signal) => {
      timers.push(
        setTimeout(() => {
          inTime = false;
          endGroup(child.pid, signal);
        }, ms),
      );
    };
    if (mostMs !== Infinity) {
      endLater(mostMs, "SIGTERM");
      endLater(mostMs + 10_000, "SIGKILL");
    }
    const interrupted = () => {
      endGroup(child.pid, "SIGTERM");
      reject(new SetupError("interrupted"));
    };
    process.once("SIGINT", interrupted);
    child.on("error", reject).on("close", () => {
      timers.forEach(clearTimeout);
      process.off("SIGINT", interrupted);
      resolve({ output, inTime });
    });
  });
}

/** @param {number | undefined} pid @param {NodeJS.Signals} signal */
function endGroup(pid, signal) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}

/**
 * @param {readonly (Mutant & { outcome: Outcome })[]} results
 * @returns {number} exit status
 */
function report(results) {
  const left = results.filter(({ outcome }) => outcome === "passed" || outcome === "broken");
  for (const { what, file, test, outcome } of left) {
    say(`${VERDICTS[outcome]}: ${what} (${file}; ${test})`);
  }
  say(`${results.length - left.length} of ${results.length} mutants killed`);
  return left.length === 0 ? 0 : 1;
}
