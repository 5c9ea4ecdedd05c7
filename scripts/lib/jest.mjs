/** Runs jest in a test environment. */
import path from "node:path";
import { root, runToEnd } from "./run.mjs";

/**
 * @param {readonly string[]} args jest's
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} exit status
 */
export function runJest(args, env) {
  // Given as arguments, not in NODE_OPTIONS: the programs that tests start must not inherit them.
  const flags = ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning"];
  const jest = path.join(root, "node_modules", "jest", "bin", "jest.js");
  return runToEnd(process.execPath, [...flags, jest, ...args], env);
}
