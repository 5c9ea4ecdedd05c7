/**
 * `npm run test:cms [-- JEST ARGUMENTS]`: CMS messages both ways with programs that are not ours:
 * OpenSSL, NSS, GnuPG, BouncyCastle and Mono, in old and new versions, where they can be got.
 */
import { ensureBuild } from "./lib/build.mjs";
import { ensureCmsPeers } from "./lib/cms.mjs";
import { runJest } from "./lib/jest.mjs";
import { ensureNss, ensureSoftHsm } from "./lib/modules.mjs";
import { runMain, say } from "./lib/run.mjs";
import { makeTestEnvironment } from "./lib/test-environment.mjs";

await runMain(async () => {
  await ensureBuild();
  const peers = ensureCmsPeers();
  for (const one of peers) {
    say("reason" in one ? `left out: ${one.name}: ${one.reason}` : one.name);
  }
  const test = makeTestEnvironment(ensureSoftHsm(), ensureNss());
  try {
    const env = { ...test.env, P11SEAL_TEST_CMS: JSON.stringify(peers) };
    const asked = process.argv.slice(2);
    const files = asked.some((one) => !one.startsWith("-")) ? [] : ["test/cli/cms/"];
    return await runJest([...files, "--verbose", ...asked], env);
  } finally {
    test.remove();
  }
});
