/** The program with `open` alone, which starts soonest. */
import { OPEN } from "./commands/open/open-commands.js";
import { runProgram } from "./run.js";

export function run(): Promise<void> {
  return runProgram(OPEN);
}
