/** What a command is: how it is written and described, and the code behind it. */
import type { Arguments } from "./arguments/arguments.js";
import type { CommandSyntax } from "./arguments/syntax.js";
import type { Io } from "./io/io.js";
import type { Report } from "./io/report.js";

/** What a command is given beside its arguments. */
export interface Context {
  readonly io: Io;
  readonly report: Report;
}

/** Returns the exit status where no error tells it; undefined is 0. */
export type Run = (args: Arguments, context: Context) => Promise<number | undefined>;

export interface CommandSpec extends CommandSyntax {
  readonly describe: string;
  /** Command lines without the program's name, and what they do. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  /** Loads the code, when the command runs. */
  readonly load: () => Promise<Run>;
}

/** A command line, understood. */
export interface Parsed {
  readonly spec: CommandSpec;
  readonly args: Arguments;
}
