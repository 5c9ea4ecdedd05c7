/**
 * `npm run test:age`: the age plugin driven by programs that are not ours: this machine's age, and
 * age and rage of Debian sid where they can be got.
 */
import { ensureAge, ensureNewerAge } from "./lib/age.mjs";
import { ensureBuild } from "./lib/build.mjs";
import { runJest } from "./lib/jest.mjs";
import { ensureNss, ensureSoftHsm } from "./lib/modules.mjs";
import { runMain, say } from "./lib/run.mjs";
import { makeTestEnvironment } from "./lib/test-environment.mjs";

await runMain(async () => {
  await ensureBuild();
  const peers = [ensureAge(), ensureNewerAge()].flat();
  for (const one of peers) say("reason" in one ? `left out: ${one.reason}` : one.name);
  const test = makeTestEnvironment(ensureSoftHsm(), ensureNss());
  try {
    const env = { ...test.env, P11SEAL_TEST_AGES: JSON.stringify(peers) };
    const files = ["test/plugin/age-programs.test.ts", "--verbose"];
    return await runJest([...files, ...process.argv.slice(2)], env);
  } finally {
    test.remove();
  }
});
