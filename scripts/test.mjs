/** `npm test [-- JEST ARGUMENTS]`: from nothing to a test run. */
import path from "node:path";
import { ensureBuild, ensureDependencies } from "./lib/dependencies.mjs";
import { ensureNss, ensureSoftHsm } from "./lib/modules.mjs";
import { root, runMain, runToEnd, say } from "./lib/run.mjs";
import { makeTestEnvironment } from "./lib/test-environment.mjs";
import { startStacks } from "./stacks/index.mjs";

await runMain(async () => {
  ensureDependencies();
  await ensureBuild();
  const softHsm = ensureSoftHsm();
  const nss = ensureNss();
  if ("reason" in nss) say(`without the tests on a second module: ${nss.reason}`);
  const { env, remove } = makeTestEnvironment(softHsm, nss);
  const args = process.argv.slice(2);
  const stacks = wantsStacks(args) ? await startStacks({ mayFetch: false }) : null;
  Object.assign(env, stacks?.env);
  try {
    // Given as arguments, not in NODE_OPTIONS: the programs that tests start must not inherit them.
    const flags = ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning"];
    const jest = path.join(root, "node_modules", "jest", "bin", "jest.js");
    return await runToEnd(process.execPath, [...flags, jest, ...args], env);
  } finally {
    await stacks?.stop();
    remove();
  }
});

/**
 * True when the tests on all stacks are among those asked for.
 * @param {readonly string[]} args jest's
 */
function wantsStacks(args) {
  const paths = args.filter((arg) => !arg.startsWith("-"));
  return (
    paths.length === 0 ||
    paths.some((one) => "test/stacks/".startsWith(one) || one.includes("stacks"))
  );
}
