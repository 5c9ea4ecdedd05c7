/** Help, rendered by yargs from the commands' specifications. It parses nothing else. */
import type { Argv, Options } from "yargs";
import type { CommandSet, CommandSpec } from "../command.js";
import { defined } from "../../defined.js";
import { operandsOf, type OptionSpec } from "./syntax.js";

export interface HelpOptions {
  readonly version: string;
  /** Width of the terminal, if there is one. */
  readonly columns: number | undefined;
}

/** Help is as wide as the terminal, but not wider than reads well. */
const MAX_COLUMNS = 100;

/** Help for the command or group of these words; for none, for the program. */
export function helpFor(
  words: readonly string[],
  set: CommandSet,
  options: HelpOptions,
): Promise<string> {
  return rendered([...words, "--help"], set, options);
}

/** What yargs prints for a command line: help, or completions. */
export async function rendered(
  argv: readonly string[],
  set: CommandSet,
  { version, columns }: HelpOptions,
): Promise<string> {
  const { default: yargs } = await import("yargs");
  const program = yargs()
    .scriptName("p11seal")
    .locale("en")
    .exitProcess(false)
    .wrap(Math.min(MAX_COLUMNS, columns ?? MAX_COLUMNS))
    .usage("Seal files to a key on a hardware token; open them with the token.\n\n$0 <command>")
    .alias("help", "h")
    .version(version)
    .epilogue(`${examplesOf(...set.commands.slice(0, 2))}\n\n${exitStatuses()}`);
  addLevel(program, "", set);
  let output = "";
  // Nothing in it is asynchronous, whatever its type says. Completions come with the last call.
  void program.parse([...argv], {}, (_error, _argv, text) => {
    output = text;
  });
  return `${output}\n`;
}

/** The commands whose names are `prefix` and one word, and the groups at that place. */
function addLevel(program: Argv, prefix: string, set: CommandSet): CommandSpec[] {
  const here = (name: string): boolean =>
    name.startsWith(prefix) && !name.slice(prefix.length).includes(" ");
  const specs = set.commands.filter(({ name }) => here(name));
  for (const spec of specs) addCommand(program, spec, spec.name.slice(prefix.length));
  for (const [group, about] of Object.entries(set.groups ?? {}).filter(([name]) => here(name))) {
    program.command(group.slice(prefix.length), about, (inner) => {
      const inside = addLevel(inner, `${group} `, set);
      return inner.version(false).epilogue(examplesOf(...inside.slice(0, 2)));
    });
  }
  return specs;
}

function addCommand(program: Argv, spec: CommandSpec, word: string): void {
  const written = spec.operands === undefined ? word : `${word} ${spec.operands}`;
  program.command(written, spec.describe, (inner) => {
    for (const name of operandsOf(spec).names) inner.positional(name, { type: "string" });
    for (const [name, option] of Object.entries(spec.options)) {
      inner.option(name, yargsOption(option));
    }
    inner.usage(`${usageOf(spec)}\n\n${spec.describe}`);
    return inner.version(false).epilogue(examplesOf(spec));
  });
}

/** The command with all that it can't do without. */
export function usageOf({ name, operands, needs, options }: CommandSpec): string {
  const required = Object.entries(options)
    .filter(([, option]) => option.required === true)
    .map(([option]) => `--${option} ${option.toUpperCase()}`);
  const parts = ["p11seal", name, ...required, needs, "[options]", operands];
  return parts.filter((part) => part !== undefined).join(" ");
}

function yargsOption(option: OptionSpec): Options {
  const { type, describe, alias, choices, required } = option;
  const rest = { alias, choices, default: option.default, demandOption: required };
  return { type, describe, requiresArg: type === "string", ...defined(rest) };
}

/** One line each, to be copied whole: yargs' own examples are set in columns that cut them. */
function examplesOf(...specs: readonly CommandSpec[]): string {
  const lines = specs
    .flatMap(({ examples }) => examples)
    .flatMap(([line, does]) => [`  # ${does}`, `  p11seal ${line}`]);
  return ["Examples:", ...lines].join("\n");
}

/** What each exit status from 0 on means. */
export const EXIT_STATUSES = [
  ...["done", "failed", "usage", "no identity matches", "not authentic"],
  ...["token or PIN", "refused by policy", "some files left, try again"],
] as const;

function exitStatuses(): string {
  const all = EXIT_STATUSES.map((meaning, status) => `${status} ${meaning}`);
  return `Exit status: ${all.slice(0, 5).join(", ")},\n${all.slice(5).join(", ")}.`;
}
