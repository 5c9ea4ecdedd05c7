/**
 * `npm run test:capi`: p11seal against a CryptoAPI that is not its own, Wine's, in both directions
 * and with keys made on a token. Not part of `npm test`: it installs a gigabyte of Debian packages.
 */
import path from "node:path";
import { ensureBuild } from "./lib/build.mjs";
import { runJest } from "./lib/jest.mjs";
import { ensureNss, ensureSoftHsm } from "./lib/modules.mjs";
import { capture, runMain, say } from "./lib/run.mjs";
import { makeTestEnvironment } from "./lib/test-environment.mjs";
import { compileForWindows, ensureWine, startWine } from "./lib/wine.mjs";

await runMain(async () => {
  await ensureBuild();
  const missing = ensureWine();
  if (missing !== undefined) {
    say(`skipped, nothing was tested: ${missing.reason}`);
    return 0;
  }
  const test = makeTestEnvironment(ensureSoftHsm(), ensureNss());
  const wine = startWine();
  try {
    const peer = path.join(wine.folder, "peer.exe");
    compileForWindows("test/capi/peer/peer.c", peer);
    say(capture(wine.program, ["--version"], { env: wine.env }).output.trim());
    const env = {
      ...test.env,
      P11SEAL_TEST_PEER: JSON.stringify({ ...wine, remove: undefined, peer }),
    };
    const files = ["--testMatch", "<rootDir>/test/capi/peer/*.live.ts", "--runInBand", "--verbose"];
    return await runJest([...files, ...process.argv.slice(2)], env);
  } finally {
    wine.remove();
    test.remove();
  }
});
