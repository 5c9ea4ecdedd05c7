/**
 * Prints the path of SoftHSM's library, for `P11SEAL_SOFTHSM2`. Where SoftHSM is not installed, it
 * is fetched first, as `npm run demo` does. README's tour starts with it.
 */
import { ensureSoftHsm } from "./lib/modules.mjs";
import { runMain } from "./lib/run.mjs";

// The standard output is the path alone; what is being done goes to the standard error.
console.log = console.error;

await runMain(() => {
  process.stdout.write(`${ensureSoftHsm()}\n`);
  return 0;
});
