/** The program with all commands. */
import { ALL_COMMANDS } from "./commands/all-commands.js";
import { runProgram } from "./run.js";

export function run(): Promise<void> {
  return runProgram(ALL_COMMANDS);
}
