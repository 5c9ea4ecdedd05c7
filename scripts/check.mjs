/**
 * `npm run check`: types, lint, borders, format, the reference, then the tests. Each runs
 * whatever failed before it. The tests come last, so that their count is the last line.
 */
import path from "node:path";
import { ensureDependencies } from "./lib/dependencies.mjs";
import { root, run, runMain, runToEnd, say } from "./lib/run.mjs";

/** @type {readonly (readonly [name: string, program: string, ...args: string[]])[]} */
const STEPS = [
  ["types", "typescript/bin/tsc", "-p", "tsconfig.json"],
  ["lint", "eslint/bin/eslint.js", "--max-warnings=0", "."],
  [
    "borders",
    "dependency-cruiser/bin/dependency-cruise.mjs",
    "--config",
    ".dependency-cruiser.js",
    "src",
  ],
  ["format", "prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."],
  // Doc comments that mention what is not exported, links that lead nowhere.
  ["reference", "typedoc/bin/typedoc", "--emit", "none", "--logLevel", "Warn"],
];

await runMain(async () => {
  ensureDependencies();
  const failed = [];
  for (const [name, program, ...args] of STEPS) {
    say(`check: ${name}`);
    const status = run(process.execPath, [path.join(root, "node_modules", program), ...args]);
    if (status !== 0) failed.push(name);
  }
  say(failed.length === 0 ? "check: tests" : `check: ${failed.join(", ")} FAILED; tests`);
  const tests = await runToEnd(process.execPath, ["scripts/test.mjs"], process.env);
  return failed.length === 0 ? tests : 1;
});
