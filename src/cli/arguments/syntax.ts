/** How a command is written: its words, operands and options, as data. */

/** Names that the user gave, and that a value may be, for completion. */
export interface KnownNamesSpec {
  readonly of: "senders" | "custodians" | "recipients" | "authorities";
  /** Other words that may stand there. */
  readonly also?: readonly string[];
  /** The value may be a file's path as well. */
  readonly orFile?: true;
}

export interface OptionSpec {
  /** One letter. */
  readonly alias?: string;
  /** A `string` takes a value; a `boolean` never does. */
  readonly type: "string" | "boolean";
  readonly repeatable?: true;
  readonly required?: true;
  readonly choices?: readonly string[];
  readonly default?: string;
  readonly names?: KnownNamesSpec;
  /** One line of help. */
  readonly describe: string;
}

export interface CommandSyntax {
  /** One word, or several: those of its groups come first. */
  readonly name: string;
  /** `<uri>` is required, `[file]` is not, `[files..]` is any number: as in `<name> [key]`. */
  readonly operands?: string;
  /** The operands are another program's words, and may be empty. */
  readonly passesOperandsOn?: true;
  /** For help: options of which one is needed, as in `-r RECIPIENT`. */
  readonly needs?: string;
  /** If the first operand is a known name. */
  readonly operandNames?: KnownNamesSpec;
  readonly options: Readonly<Record<string, OptionSpec>>;
}

/** The names in `operands`, and how many there must and may be. */
export function operandsOf({ operands = "" }: CommandSyntax): {
  readonly names: readonly string[];
  readonly required: readonly string[];
  readonly most: number;
} {
  const names = operands.match(/[a-z]+/g) ?? [];
  const required = operands.match(/<[a-z]+>/g) ?? [];
  return { names, required, most: operands.includes("..") ? Infinity : names.length };
}
