/**
 * `npm run test:mutants [-- WORD…]`: whether a test fails when a guard is taken away. Each entry
 * of scripts/mutants/list.mjs is applied by itself to a copy of the tree, and its test is run
 * there. The run fails if a mutant survives, if an entry no longer fits the source, or if a test
 * fails without any mutant. Words choose entries by their description, source file or test.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { ensureBuild } from "./lib/build.mjs";
import { cache, capture, root, runMain, say, SetupError } from "./lib/run.mjs";
import { MUTANTS } from "./mutants/list.mjs";
import { mutated } from "./mutants/mutated.mjs";

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
    const sound = runTests(copy, tests, false);
    if (sound.outcome !== "passed") {
      throw new SetupError(`${sound.output}\nthe tests have to pass before mutants are tried`);
    }
    return report(chosen.map((mutant) => ({ ...mutant, outcome: tried(copy, mutant) })));
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
    const target = path.join(copy, ".cache", name);
    if (!fs.existsSync(target)) fs.symlinkSync(path.join(cache, name), target);
  }
  fs.symlinkSync(path.join(root, "node_modules"), path.join(copy, "node_modules"));
}

/**
 * @param {string} copy
 * @param {import("./mutants/list.mjs").Mutant} mutant
 */
function tried(copy, mutant) {
  const file = path.join(copy, mutant.file);
  const before = fs.readFileSync(file);
  fs.writeFileSync(file, mutated(copy, mutant));
  try {
    const { outcome, output } = runTests(copy, [mutant.test], mutant.built === true);
    say(`${outcome === "failed" ? "killed" : outcome.toUpperCase()}: ${mutant.what}`);
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
 * @returns {{ outcome: "passed" | "failed" | "broken", output: string }}
 */
function runTests(copy, tests, build) {
  const results = path.join(copy, "results.json");
  fs.rmSync(results, { force: true });
  const vectors = process.env["P11SEAL_VECTORS"] ?? path.join(root, "..", "shared", "vectors");
  const env = { ...process.env, P11SEAL_TEST_STACKS: "none", P11SEAL_VECTORS: vectors };
  const args = ["scripts/test.mjs", ...(build ? [] : ["--as-built"]), ...tests];
  const jest = ["--json", `--outputFile=${results}`, "--silent"];
  const { output } = capture(process.execPath, [...args, ...jest], { cwd: copy, env });
  if (!fs.existsSync(results)) return { outcome: "broken", output };
  const found = JSON.parse(fs.readFileSync(results, "utf8"));
  if (found.success === true) return { outcome: "passed", output };
  return { outcome: found.numFailedTests > 0 ? "failed" : "broken", output };
}

/**
 * @param {readonly (import("./mutants/list.mjs").Mutant & { outcome: string })[]} results
 * @returns {number} exit status
 */
function report(results) {
  const left = results.filter(({ outcome }) => outcome !== "failed");
  for (const { what, file, test, outcome } of left) {
    say(`${outcome === "passed" ? "survived" : "does not compile"}: ${what} (${file}; ${test})`);
  }
  say(`${results.length - left.length} of ${results.length} mutants killed`);
  return left.length === 0 ? 0 : 1;
}
