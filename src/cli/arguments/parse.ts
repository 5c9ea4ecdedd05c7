/**
 * A command line to a command and its arguments. Plain ones, which is nearly all, are parsed by yargs'
 * own parser from the same data; whatever it is not sure of, from a misspelt option to `--help`, is
 * left to the whole of yargs, which takes longer to load than sealing a small file does. Both come to
 * the same where both have an answer (`test/cli/arguments/parse.test.ts`).
 */
import Parser from "yargs-parser";
import { Arguments } from "./arguments.js";
import { PARSER_CONFIGURATION } from "./parser-configuration.js";
import type { OptionSpec } from "./syntax.js";
import type { CommandSpec, Parsed } from "../command.js";
import { COMMANDS } from "./usage.js";

/**
 * What to run, or a text to print: help, the version, completions.
 *
 * @throws UsageError `ERR_USAGE`, `ERR_PIN_ON_COMMAND_LINE`.
 */
export async function parse(
  argv: readonly string[],
  options: () => { readonly version: string; readonly columns: number | undefined },
): Promise<Parsed | string> {
  const plain = parsePlain(argv);
  if (plain !== undefined) return plain;
  const { parseFully } = await import("./parse-fully.js");
  return parseFully(argv, options());
}

/**
 * The meaning of a plain command line; undefined for every other, right or wrong.
 *
 * @throws UsageError `ERR_USAGE` for what `Arguments` refuses
 */
export function parsePlain(argv: readonly string[]): Parsed | undefined {
  const spec = commandOf(argv);
  if (spec === undefined) return undefined;
  const words = argv.slice(spec.name.split(" ").length);
  if (!words.every((word) => isPlain(word, spec))) return undefined;

  const { argv: values, error } = Parser.detailed(words, parserOptions(spec.options));
  if (error !== null) return undefined;
  const operands = operandsOf(spec, values._.map(String));
  if (operands === undefined || !suits(values, spec.options)) return undefined;
  return { spec, args: new Arguments(spec, { ...values, ...operands }) };
}

/** The command of one, two or three words. */
function commandOf(argv: readonly string[]): CommandSpec | undefined {
  const names = [1, 2, 3].map((count) => argv.slice(0, count).join(" "));
  return COMMANDS.find((spec) => names.includes(spec.name));
}

/** An option the command has, written out or as one letter, or a word that is nothing special. */
function isPlain(word: string, { options }: CommandSpec): boolean {
  const long = /^--([a-z-]+)(?:=|$)/.exec(word)?.[1];
  if (long !== undefined) return Object.hasOwn(options, long);
  const short = /^-([A-Za-z])$/.exec(word)?.[1];
  if (short !== undefined) return Object.values(options).some(({ alias }) => alias === short);
  // "-" is a value, not an option. yargs takes quotes off operands, and the word "help" for a question.
  return word === "-" || (!/^[-"']/.test(word) && word !== "help");
}

function parserOptions(options: Readonly<Record<string, OptionSpec>>): Parser.Options {
  const all = Object.entries(options);
  const names = (type: OptionSpec["type"]): string[] =>
    all.filter(([, option]) => option.type === type).map(([name]) => name);
  const withValue = names("string");
  return {
    alias: Object.fromEntries(all.flatMap(([name, { alias }]) => (alias ? [[name, alias]] : []))),
    boolean: names("boolean"),
    string: withValue,
    // How yargs says that an option must have a value.
    narg: Object.fromEntries(withValue.map((name) => [name, Number.NaN])),
    default: Object.fromEntries(
      all.flatMap(([name, option]) =>
        option.default === undefined ? [] : [[name, option.default]],
      ),
    ),
    configuration: PARSER_CONFIGURATION,
  };
}

/** The operands by name, where their number is right: `[file]`, `<uri>`, `<name> [key]`, `[files..]`. */
function operandsOf(
  { operands = "", operand = [] }: CommandSpec,
  words: readonly string[],
): Readonly<Record<string, string | readonly string[]>> | undefined {
  if (words.includes("-")) return undefined;
  const names = [operand].flat();
  const many = operands.includes("..");
  const least = operands.split("<").length - 1;
  if (words.length < least || (!many && words.length > names.length)) return undefined;
  if (many) return names.length === 1 && words.length > 0 ? { [String(names[0])]: words } : {};
  return Object.fromEntries(words.map((word, i) => [names[i] ?? "", word]));
}

/** Nothing that is required is missing, and what has a list of values has one of them. */
function suits(
  values: Readonly<Record<string, unknown>>,
  options: Readonly<Record<string, OptionSpec>>,
): boolean {
  return Object.entries(options).every(([name, { required, choices }]) => {
    const value = values[name];
    if (value === undefined) return required !== true;
    const listed: readonly unknown[] | undefined = choices;
    return listed === undefined || [value].flat().every((one) => listed.includes(one));
  });
}
