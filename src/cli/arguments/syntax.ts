/** How a command line is written: a command's words, operands and options, as data. */

export interface OptionSpec {
  readonly alias?: string;
  readonly type: "string" | "boolean";
  readonly repeatable?: true;
  readonly required?: true;
  readonly choices?: readonly string[];
  readonly default?: string;
  readonly describe: string;
}

export interface CommandSyntax {
  /** One word, or those of its groups before it. */
  readonly name: string;
  /** How the operands are written: `[file]`, `<uri>`, `[files..]`, `<name> [key]`. */
  readonly operands?: string;
  /** Their name among the parsed values, or their names. */
  readonly operand?: string | readonly string[];
  readonly options: Readonly<Record<string, OptionSpec>>;
}
