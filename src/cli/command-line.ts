/** What p11seal's command lines mean: its commands, and the grammar that reads them. */
import type { Parsed } from "./command.js";
import { parse } from "./arguments/parse.js";
import type { HelpOptions } from "./arguments/help.js";
import { ALL_COMMANDS } from "./commands/all-commands.js";

/** What to run, or a text to print. @throws UsageError */
export function understand(
  argv: readonly string[],
  options: () => HelpOptions,
): Promise<Parsed | string> {
  return parse(argv, ALL_COMMANDS, options);
}
