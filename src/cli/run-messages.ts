/** The program with the commands about messages alone, which starts sooner. */
import { MESSAGE_COMMANDS } from "./commands/message-commands.js";
import { runProgram } from "./run.js";

export function run(): Promise<void> {
  return runProgram(MESSAGE_COMMANDS);
}
