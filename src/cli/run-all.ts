/** The program with all commands. */
import { ALL_COMMANDS } from "./commands/all-commands.js";
import { runProgram } from "./run.js";

export function run(codeFolder: string | undefined): Promise<void> {
  return runProgram(codeFolder, ALL_COMMANDS);
}
