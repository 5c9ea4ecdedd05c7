/**
 * Makes the test environment if jest was not started by `npm test`, from what is installed; it
 * fetches nothing. jest's workers start afterwards and inherit it.
 */
import { findNss, findSoftHsm } from "../../scripts/lib/modules.mjs";
import { inTestEnvironment, makeTestEnvironment } from "../../scripts/lib/test-environment.mjs";

export default function globalSetup() {
  if (inTestEnvironment()) return;
  const softHsm = findSoftHsm();
  if (softHsm === null) throw new Error("SoftHSM is missing; `npm test` gets it");
  const { env, remove } = makeTestEnvironment(softHsm, usableNss());
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  Object.assign(process.env, env);
  process.on("exit", remove);
}

function usableNss() {
  const nss = findNss();
  if (nss === null) return { reason: "NSS softoken is missing; `npm test` gets it" };
  // The loader reads LD_LIBRARY_PATH only at process start, and this process already runs.
  if (nss.libraryPath !== null) return { reason: "NSS softoken needs LD_LIBRARY_PATH: `npm test`" };
  return nss;
}
