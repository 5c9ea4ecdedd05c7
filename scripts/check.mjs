/**
 * `npm run check`: types, lint, borders, format, the reference, then the tests. Each runs
 * whatever failed before it. The tests come last, so that their count is the last line.
 */
import { spawn } from "node:child_process";
import os from "node:os";
import path from "node:path";
import { ensureDependencies } from "./lib/dependencies.mjs";
import { root, runMain, runToEnd, say } from "./lib/run.mjs";

/** @typedef {readonly [name: string, program: string, ...args: string[]]} Step */

/**
 * The longest first: each has one thread, so they run side by side.
 * @type {readonly Step[]}
 */
const STEPS = [
  ["lint", "eslint/bin/eslint.js", "--max-warnings=0", "."],
  ["types", "typescript/bin/tsc", "-p", "tsconfig.json"],
  ["format", "prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."],
  // Doc comments that mention what is not exported, links that lead nowhere.
  ["reference", "typedoc/bin/typedoc", "--emit", "none", "--logLevel", "Warn"],
  [
    "borders",
    "dependency-cruiser/bin/dependency-cruise.mjs",
    "--config",
    ".dependency-cruiser.js",
    "src",
  ],
];

await runMain(async () => {
  ensureDependencies();
  const waiting = [...STEPS];
  /** @type {string[]} */
  const failed = [];
  const takeTurns = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      if (!(await passes(step))) failed.push(step[0]);
    }
  };
  await Promise.all(Array.from({ length: os.availableParallelism() }, takeTurns));
  say(failed.length === 0 ? "check: tests" : `check: ${failed.join(", ")} FAILED; tests`);
  const tests = await runToEnd(process.execPath, ["scripts/test.mjs"], process.env);
  return failed.length === 0 ? tests : 1;
});

/**
 * Runs a step, and shows what it said when it has ended, in one piece.
 * @param {Step} step
 * @returns {Promise<boolean>} whether it passed
 */
function passes([name, program, ...args]) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [path.join(root, "node_modules", program), ...args], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
    /** @type {Buffer[]} */
    const said = [];
    for (const output of [child.stdout, child.stderr]) {
      output.on("data", (/** @type {Buffer} */ bytes) => said.push(bytes));
    }
    child.on("error", reject);
    child.on("close", (status) => {
      say(`check: ${name}`);
      process.stdout.write(Buffer.concat(said));
      resolve(status === 0);
    });
  });
}
