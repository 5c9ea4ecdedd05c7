/**
 * `npm test [-- JEST ARGUMENTS]`: from nothing to a test run. `npm run test:slow` is the same with
 * `--slow`, which gives the tests that repeat something all of their rounds
 * (test/support/scale.ts). `--as-built` runs them with dist/ as it is.
 */
import { ensureAge } from "./lib/age.mjs";
import { ensureBuild } from "./lib/build.mjs";
import { findOpenSsl } from "./lib/cms.mjs";
import { runJest } from "./lib/jest.mjs";
import { ensureNss, ensureSoftHsm } from "./lib/modules.mjs";
import { ensurePkits } from "./lib/pkits.mjs";
import { ensureVitest } from "./lib/vitest.mjs";
import { runMain, say } from "./lib/run.mjs";
import { makeTestEnvironment } from "./lib/test-environment.mjs";
import { STACKS, startStacks } from "./stacks/index.mjs";

const OWN = ["--slow", "--as-built"];

const PKITS_TESTS = [
  "test/trust/pkits.test.ts",
  "test/trust/pkits-mails.test.ts",
  "test/cli/commands/sign/pkits-verify.test.ts",
];

const VITEST_TEST = "test/testing/fresh-projects.test.ts";

await runMain(async () => {
  if (!process.argv.includes("--as-built")) await ensureBuild();
  const softHsm = ensureSoftHsm();
  const nss = ensureNss();
  if ("reason" in nss) say(`without the tests on a second module: ${nss.reason}`);
  const age = ensureAge();
  if ("reason" in age) say(`without the tests on age: ${age.reason}`);
  const { env, remove } = makeTestEnvironment(softHsm, nss);
  env["P11SEAL_TEST_AGES"] = JSON.stringify([age]);
  env["P11SEAL_TEST_CMS"] = JSON.stringify([findOpenSsl()]);
  const asked = process.argv.slice(2).filter((arg) => !OWN.includes(arg));
  if (process.argv.includes("--slow")) env["SLOW"] = "1";
  if (PKITS_TESTS.some((file) => isAsked(file, asked))) {
    const pkits = ensurePkits();
    if ("reason" in pkits) env["TEST_PKITS_MISSING"] = pkits.reason;
    else env["TEST_PKITS"] = pkits.path;
  }
  if (isAsked(VITEST_TEST, asked)) {
    const vitest = ensureVitest();
    if ("reason" in vitest) env["TEST_VITEST_MISSING"] = vitest.reason;
    else env["TEST_VITEST"] = vitest.path;
  }
  const args = [...asked];
  if (process.env["P11SEAL_TEST_STACKS"] === "none") {
    say("without the stacks' own suites, which P11SEAL_TEST_STACKS=none leaves out");
    args.push("--testPathIgnorePatterns", `test/stacks/(${STACKS.join("|")})\\.test\\.ts$`);
  }
  const names = stacksFor(asked);
  const stacks = names.length > 0 ? await startStacks({ names, mayFetch: false }) : null;
  Object.assign(env, stacks?.env);
  try {
    return await runJest(args, env);
  } finally {
    await stacks?.stop();
    remove();
  }
});

/**
 * The stacks whose tests are among those asked for: all of them when nothing is said.
 * @param {readonly string[]} args jest's
 */
function stacksFor(args) {
  if (process.env["P11SEAL_TEST_STACKS"] === "none") return [];
  return STACKS.filter((name) => isAsked(`test/stacks/${name}.test.ts`, args));
}

/**
 * True if jest is asked to run this file: by a part of its path, or because it runs all.
 * @param {string} file
 * @param {readonly string[]} args jest's
 */
function isAsked(file, args) {
  const paths = args.filter((arg) => !arg.startsWith("-"));
  return paths.length === 0 || paths.some((one) => file.includes(one));
}
