/**
 * The words after a command, as its specification reads them. yargs-parser pairs options with their
 * values; what it would guess at is settled before (groups of letters) or checked after.
 *
 * As with getopt: `-qv` is `-q -v`, `-oFILE` and `-qoFILE` carry a value, `--` ends the options,
 * and `-` is a value or an operand. A word that begins with a dash is never the value of the option
 * before it, unless it is `-` or a negative number: `--output=-x` and `-o-x` say so where it is
 * meant.
 */
import Parser from "yargs-parser";
import { Arguments } from "./arguments.js";
import { nearestOf, Refusal } from "./refusal.js";
import { operandsOf, type CommandSyntax, type OptionSpec } from "./syntax.js";

type Options = CommandSyntax["options"];
type Values = Readonly<Record<string, unknown>>;

/** @returns "help" if that is what the words ask for. @throws Refusal */
export function readWords(spec: CommandSyntax, words: readonly string[]): Arguments | "help" {
  const dashes = words.indexOf("--");
  const [before, after] =
    dashes < 0 ? [words, []] : [words.slice(0, dashes), words.slice(dashes + 1)];
  if (before.some(isHelp)) return "help";

  const options: Options = { ...spec.options, help: HELP };
  const plain = before.flatMap((word) => (isOption(word) ? longOptions(word, options) : [word]));
  const { argv, error } = Parser.detailed(plain, parserOptions(options));
  const { _: operands, help, ...values } = argv;
  if (help === true) return "help";
  if (error !== null) throw withoutValue(error);
  checkValues(values, spec.options);
  const all = [...operands.map(String), ...after];
  checkPresence(values, all, spec);
  return new Arguments(spec, values, all);
}

/**
 * Where the word after these would stand: as the value of an option, or as an operand, counted from
 * 0. Words that the command doesn't take are passed over.
 */
export function nextPlace(spec: CommandSyntax, words: readonly string[]): OptionSpec | number {
  let option: OptionSpec | undefined;
  let operands = 0;
  for (const [i, word] of words.entries()) {
    if (word === "--") return operands + words.length - i - 1;
    if (isOption(word)) option = optionAwaiting(word, { ...spec.options, help: HELP });
    else if (option !== undefined) option = undefined;
    else operands++;
  }
  return option ?? operands;
}

/** The option in this word whose value is the next word. */
function optionAwaiting(word: string, options: Options): OptionSpec | undefined {
  try {
    const last = longOptions(word, options).at(-1)?.slice(2) ?? "";
    const option = optionOf(last, options);
    return option?.type === "string" ? option : undefined;
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}

/** `--help` and `-h`; `-qh` is found when letters are. */
export function isHelp(word: string): boolean {
  return word === "--help" || word === "-h";
}

/** Every command has it. */
const HELP: OptionSpec = { alias: "h", type: "boolean", describe: "Show help" };

// ── Words to options ──

function isOption(word: string): boolean {
  return word.startsWith("-") && word !== "-" && !/^-(?:\d+(?:\.\d+)?|\.\d+)$/.test(word);
}

/** The option or options that a word names, each with its long name. */
function longOptions(word: string, options: Options): string[] {
  const [, name, value] = /^--([^=]*)(=[^]*)?$/.exec(word) ?? [];
  if (name === undefined) return lettersOf(word, options);
  const option = optionOf(name, options);
  if (option === undefined) {
    throw new Refusal(`unknown option: --${name}`, { meant: nearest(name, options) });
  }
  if (option.type === "boolean" && value !== undefined) throw withValue(name);
  return [word];
}

/** `-qvoFILE` as `--quiet --verbose --output=FILE`. */
function lettersOf(word: string, options: Options): string[] {
  const found: string[] = [];
  const long = word.slice(1).replace(/=[^]*$/, "");
  // Else `-output` would be `-o utput`.
  const meant = long.length > 1 && optionOf(long, options) !== undefined ? `--${long}` : undefined;
  if (meant !== undefined) throw new Refusal(`unknown option: -${long}`, { meant });
  for (let i = 1; i < word.length; i++) {
    const letter = word.charAt(i);
    const [name, option] = Object.entries(options).find(([, { alias }]) => alias === letter) ?? [];
    const flag = found.at(-1);
    if (letter === "=" && flag !== undefined) throw withValue(flag.slice(2));
    if (name === undefined) throw new Refusal(`unknown option: -${letter}`);
    const rest = word.slice(i + 1);
    const takesRest = option?.type === "string" && rest !== "";
    found.push(takesRest ? `--${name}=${rest.replace(/^=/, "")}` : `--${name}`);
    if (takesRest) break;
  }
  return found;
}

function optionOf(name: string, options: Options): OptionSpec | undefined {
  return Object.hasOwn(options, name) ? options[name] : undefined;
}

function parserOptions(options: Options): Parser.Options {
  const all = Object.entries(options);
  const names = (type: OptionSpec["type"]): string[] =>
    all.filter(([, option]) => option.type === type).map(([name]) => name);
  const defaults = all.flatMap(([name, option]) =>
    option.default === undefined ? [] : [[name, option.default] as const],
  );
  return {
    boolean: names("boolean"),
    string: names("string"),
    // How many words follow: without this, a flag would take "true" for its value.
    narg: Object.fromEntries(all.map(([name, { type }]) => [name, type === "string" ? 1 : 0])),
    default: Object.fromEntries(defaults),
    configuration: {
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
    },
  };
}

// ── What may be wrong with them ──

function checkValues(values: Values, options: Options): void {
  for (const [name, { repeatable, choices }] of Object.entries(options)) {
    const given = [values[name]].flat().filter((value) => typeof value === "string");
    if (given.length > 1 && repeatable !== true) throw new Refusal(`--${name} was given twice`);
    if (given.includes("")) throw new Refusal(`--${name} was given an empty value`);
    const wrong = choices && given.find((value) => !choices.includes(value));
    if (wrong !== undefined) {
      throw new Refusal(`--${name} takes ${listed(choices ?? [])}, not "${wrong}"`);
    }
  }
}

function checkPresence(values: Values, operands: readonly string[], spec: CommandSyntax): void {
  const { required, most } = operandsOf(spec);
  const missing = [
    ...Object.entries(spec.options)
      .filter(([name, option]) => option.required === true && values[name] === undefined)
      .map(([name]) => `--${name}`),
    ...required.slice(operands.length),
  ];
  if (missing.length > 0) throw new Refusal(`missing: ${missing.join(", ")}`);
  const [first] = operands;
  const own = spec.passesOperandsOn === true ? [first] : operands;
  if (own.includes("")) throw new Refusal("an operand is empty");
  const extra = operands[most];
  if (extra === undefined) return;
  const isUri = /^pkcs11:/i.test(extra);
  const meant = isUri && Object.hasOwn(spec.options, "token") ? "--token URI" : undefined;
  // A URI's query may hold a PIN, which is not repeated.
  const shown = isUri ? extra.replace(/\?[^]*$/, "") : extra;
  throw new Refusal(`unexpected operand: "${shown}"`, { meant });
}

function withoutValue(error: Error): Refusal {
  return new Refusal(`--${error.message.replace(/^.*: /, "")} needs a value`);
}

function withValue(name: string): Refusal {
  return new Refusal(`--${name} takes no value`);
}

function nearest(name: string, options: Options): string | undefined {
  const found = nearestOf(name, Object.keys(options));
  return found === undefined ? undefined : `--${found}`;
}

function listed(words: readonly string[]): string {
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1) ?? ""}`;
}
