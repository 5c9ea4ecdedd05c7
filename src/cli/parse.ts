/**
 * A command line to a command and its arguments. Plain ones, which is nearly all, are read here, from
 * the same data that yargs gets; whatever is not plain, from a misspelt option to `--help`, is left to
 * yargs, which takes longer to load than sealing a small file does. Both come to the same where both
 * have an answer (`test/cli/parse.test.ts`).
 */
import { Arguments } from "./arguments.js";
import type { OptionSpec } from "./usage-options.js";
import { COMMANDS, type CommandSpec } from "./usage.js";

export interface Parsed {
  readonly spec: CommandSpec;
  readonly args: Arguments;
}

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
  const words = readWords(argv.slice(spec.name.split(" ").length), spec);
  if (words === undefined) return undefined;
  const operands = operandsOf(spec, words.operands);
  if (operands === undefined || !suits(words.values, spec.options)) return undefined;
  return { spec, args: new Arguments(spec, { ...words.values, ...operands }) };
}

/** The command of one, two or three words. */
function commandOf(argv: readonly string[]): CommandSpec | undefined {
  const names = [1, 2, 3].map((count) => argv.slice(0, count).join(" "));
  return COMMANDS.find((spec) => names.includes(spec.name));
}

interface Words {
  readonly values: Readonly<Record<string, string | true | readonly string[]>>;
  readonly operands: readonly string[];
}

/** Options with their values, and operands; undefined if a word is anything but plainly one of these. */
function readWords(words: readonly string[], { options }: CommandSpec): Words | undefined {
  const values = new Map<string, true | string[]>();
  const operands: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (isValue(word)) {
      // yargs takes the word "help" for a question.
      if (word === "help") return undefined;
      operands.push(word);
      continue;
    }
    const [name, option, given] = optionAt(word, options) ?? [];
    if (name === undefined) return undefined;
    const next = words[i + 1];
    if (option?.type === "boolean") {
      if (given !== undefined || values.has(name) || /^(?:true|false)$/.test(next ?? "")) {
        return undefined;
      }
      values.set(name, true);
      continue;
    }
    const value = given ?? next;
    if (given === undefined) i += 1;
    if (value === undefined || value === "help" || !isValue(value)) return undefined;
    const before = values.get(name);
    values.set(name, Array.isArray(before) ? [...before, value] : [value]);
  }
  const defaults = Object.entries(options).flatMap(([name, option]) =>
    option.default === undefined ? [] : [[name, option.default] as const],
  );
  const read = [...values].map(
    ([name, all]) => [name, all !== true && all.length === 1 ? (all[0] ?? "") : all] as const,
  );
  return { values: Object.fromEntries([...defaults, ...read]), operands };
}

/** "-" is a value, not an option. yargs takes quotes off, and has thoughts on empty words. */
function isValue(word: string): boolean {
  return word === "-" || (word !== "" && !/^[-"']/.test(word));
}

/** An option the command has, written out or as one letter: its name, and what follows a "=". */
function optionAt(
  word: string,
  options: CommandSpec["options"],
): [name: string, option: OptionSpec | undefined, given: string | undefined] | undefined {
  const [, long, given] = /^--([a-z-]+)(?:=(.*))?$/s.exec(word) ?? [];
  if (long !== undefined && Object.hasOwn(options, long)) return [long, options[long], given];
  const short = /^-([A-Za-z])$/.exec(word)?.[1];
  const found = Object.entries(options).find(
    ([, { alias }]) => alias !== undefined && alias === short,
  );
  return found === undefined ? undefined : [...found, undefined];
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
