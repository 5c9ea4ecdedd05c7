/** What a command is: how it is written and described, and the code behind it. */
import type { Arguments } from "./arguments/arguments.js";
import type { CommandSyntax } from "./arguments/syntax.js";
import type { Io } from "./io/io.js";
import type { Report } from "./io/report.js";

/** What a command gets besides its arguments. */
export interface Context {
  readonly io: Io;
  readonly report: Report;
}

/**
 * Returns the exit status; undefined is 0. A failure is thrown, and its class decides the status.
 */
export type Run = (args: Arguments, context: Context) => Promise<number | undefined>;

export interface CommandSpec extends CommandSyntax {
  /** One line of help. */
  readonly describe: string;
  /** Command lines without the program's name, and what they do. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  /** Loads the command's code. */
  readonly load: () => Promise<Run>;
}

/** Commands, and the words that stand before some of them. */
export interface CommandSet {
  readonly commands: readonly CommandSpec[];
  /** By the group's words, as in `keys` or `capi three-phase`: one line of help. */
  readonly groups?: Readonly<Record<string, string>>;
}

/** A command line, understood. */
export interface Parsed {
  readonly spec: CommandSpec;
  readonly args: Arguments;
}
