/** The program with `seal` alone, which starts soonest. */
import { SEAL } from "./commands/seal/seal-commands.js";
import { runProgram } from "./run.js";

export function run(): Promise<void> {
  return runProgram(SEAL);
}
