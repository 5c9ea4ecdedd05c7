/**
 * `npm run test:tokens [-- STACK…]`: sets up all six PKCS#11 stacks, gets what is missing, and
 * runs the token suite on each, with all published vectors; without a name also the test of an
 * agent over OpenSSH's sshd. It ends with a line for each stack and one for all. `token-table.mjs`
 * makes the table in docs/tokens.md from the results, .cache/token-results.json.
 */
import fs from "node:fs";
import path from "node:path";
import { ensureBuild } from "./lib/build.mjs";
import { runJest } from "./lib/jest.mjs";
import { ensureNss, ensureSoftHsm } from "./lib/modules.mjs";
import { cache, root, runMain, say, SetupError } from "./lib/run.mjs";
import { ensureSshd } from "./lib/sshd.mjs";
import { makeTestEnvironment } from "./lib/test-environment.mjs";
import { readResults, RESULTS } from "./lib/token-table.mjs";
import { STACKS, startStacks } from "./stacks/index.mjs";

await runMain(async () => {
  const asked = process.argv.slice(2);
  const unknown = asked.find((name) => !STACKS.some((one) => one === name));
  if (unknown !== undefined) {
    throw new SetupError(`No stack is called "${unknown}". The stacks: ${STACKS.join(", ")}.`);
  }
  const names = asked.length > 0 ? asked : STACKS;
  await ensureBuild();
  const sshd = asked.length === 0 ? ensureSshd() : undefined;
  if (sshd !== undefined && "reason" in sshd) say(`without sshd: ${sshd.reason}`);
  const { env, remove } = makeTestEnvironment(ensureSoftHsm(), ensureNss());
  const { stacks, env: described, stop } = await startStacks({ names, mayFetch: true });
  const results = path.join(cache, `token-results-${process.pid}`);
  Object.assign(env, described, {
    TEST_STACKS_RESULTS: results,
    TEST_STACKS_REQUIRED: "1",
    SLOW: "1",
  });
  try {
    const files = names.map((name) => `test/stacks/${name}.test.ts`);
    // What else takes a daemon: it is skipped where there is none.
    if (asked.length === 0) files.push("test/cli/commands/agent/agent-over-sshd.test.ts");
    const status = await runJest(files, env);
    keep(names, results);
    for (const name of names) summarize(name, stacks[name], results);
    const without = names.filter((name) => !fs.existsSync(path.join(results, `${name}.json`)));
    say(
      `${names.length - without.length} of ${names.length} stacks ran, jest's status is ${status}`,
    );
    return status;
  } finally {
    await stop();
    remove();
    fs.rmSync(results, { recursive: true, force: true });
  }
});

/**
 * One line about a stack.
 * @param {string} name
 * @param {import("./stacks/stack.mjs").Stack | import("./stacks/stack.mjs").Missing | undefined}
 *   stack
 * @param {string} results
 */
function summarize(name, stack, results) {
  if (stack === undefined || "reason" in stack) {
    say(`${name}: could not be set up: ${stack?.reason}`);
    return;
  }
  const file = path.join(results, `${name}.json`);
  if (!fs.existsSync(file)) {
    say(`${name} (${stack.versions}): crashed`);
    return;
  }
  /** @type {import("./lib/token-table.mjs").StackResult} */
  const { rows } = JSON.parse(fs.readFileSync(file, "utf8"));
  const count = (/** @type {string} */ outcome) =>
    Object.values(rows).filter((row) => row.outcome === outcome).length;
  say(
    `${name} (${stack.versions}): ${count("kept")} promises kept, ` +
      `${count("not offered")} not offered as stated, ${count("failed")} failed`,
  );
}

/**
 * Results of all stacks in one file, for the table: those of this run, and earlier ones of the
 * others.
 * @param {readonly string[]} names
 * @param {string} results
 */
function keep(names, results) {
  // The table is about the binding that is used by default.
  if (process.env["P11SEAL_BINDING"] === "koffi") return;
  const earlier = readResults() ?? [];
  const all = STACKS.map((name) => {
    const file = path.join(results, `${name}.json`);
    if (!names.includes(name)) return earlier.find((one) => one.name === name);
    return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : undefined;
  });
  if (all.includes(undefined)) return;
  fs.writeFileSync(RESULTS, `${JSON.stringify(all, null, 2)}\n`);
  say(`results are in ${path.relative(root, RESULTS)}; scripts/token-table.mjs makes the table`);
}
