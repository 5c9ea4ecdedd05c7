/**
 * Any command line to a command and its arguments, by yargs. yargs parses, checks, completes and prints
 * help; it runs nothing, so that whatever it throws is a fault of usage. Loading it takes longer than
 * sealing a small file does: `parse.ts` spares that where the command line is plain.
 */
import type { Argv, Options } from "yargs";
import { UsageError } from "../../errors.js";
import { Arguments } from "./arguments.js";
import { COMPLETIONS_REQUEST, usefulCompletions } from "./completion.js";
import type { Parsed } from "../command.js";
import { PARSER_CONFIGURATION } from "./parser-configuration.js";
import type { CommandSpec } from "../command.js";
import { COMMANDS, GROUPS } from "./usage.js";

/** Help is wrapped to the terminal, but not wider than reads well. */
const MAX_COLUMNS = 100;

/**
 * What to run, or a text to print: help, the version, completions.
 *
 * @throws UsageError `ERR_USAGE`, `ERR_PIN_ON_COMMAND_LINE`.
 */
export async function parseFully(
  argv: readonly string[],
  options: { readonly version: string; readonly columns: number | undefined },
): Promise<Parsed | string> {
  const { default: yargs } = await import("yargs");
  let chosen: Parsed | undefined;
  let output = "";
  const program = describe(yargs(), options, (spec, values) => {
    chosen = { spec, args: new Arguments(spec, values) };
  });
  try {
    // Nothing in it is asynchronous, whatever its type says.
    void program.parse([...argv], {}, (_error, _argv, text) => {
      output = text;
    });
  } catch (error) {
    throw error instanceof UsageError ? error : usageError(argv, error);
  }
  if (argv[0] === COMPLETIONS_REQUEST) return usefulCompletions(output, argv);
  if (chosen !== undefined) return chosen;
  return `${output}\n`;
}

type Choose = (spec: CommandSpec, values: Readonly<Record<string, unknown>>) => void;

function describe(
  program: Argv,
  options: { readonly version: string; readonly columns: number | undefined },
  choose: Choose,
): Argv {
  program
    .scriptName("p11seal")
    .locale("en")
    .updateStrings({
      "Not enough arguments following: %s": "no value after option %s",
      "Invalid values:": "not a choice:",
      "Argument: %s, Given: %s, Choices: %s": "--%s was given %s; it takes %s",
    })
    .exitProcess(false)
    .fail((message: string | null, error: Error | null) => {
      throw error ?? new Error(message ?? "");
    })
    .parserConfiguration(PARSER_CONFIGURATION)
    .strict()
    .demandCommand(1, "no command was given")
    .wrap(Math.min(MAX_COLUMNS, options.columns ?? MAX_COLUMNS))
    .usage("Seal files to a key on a hardware token; open them with the token.\n\n$0 <command>")
    .alias("help", "h")
    .version(options.version)
    .epilogue(`${examplesOf(...COMMANDS.slice(0, 2))}\n\n${EXIT_STATUSES}`);
  addLevel(program, "", choose);
  return program;
}

/** The commands whose names are `prefix` and one word, and the groups at that place. */
function addLevel(program: Argv, prefix: string, choose: Choose): CommandSpec[] {
  const here = (name: string): boolean =>
    name.startsWith(prefix) && !name.slice(prefix.length).includes(" ");
  const specs = COMMANDS.filter(({ name }) => here(name));
  for (const spec of specs) addCommand(program, spec, spec.name.slice(prefix.length), choose);
  for (const [group, about] of Object.entries(GROUPS).filter(([name]) => here(name))) {
    program.command(group.slice(prefix.length), about, (inner) => {
      const inside = addLevel(inner, `${group} `, choose);
      return inner
        .demandCommand(1, `"${group}" needs a command after it`)
        .version(false)
        .epilogue(examplesOf(...inside.slice(0, 2)));
    });
  }
  return specs;
}

function addCommand(program: Argv, spec: CommandSpec, word: string, choose: Choose): void {
  program.command(
    spec.operands === undefined ? word : `${word} ${spec.operands}`,
    spec.describe,
    (inner) => {
      for (const operand of [spec.operand ?? []].flat()) {
        inner.positional(operand, { type: "string", default: undefined });
      }
      for (const [name, option] of Object.entries(spec.options)) {
        inner.option(name, yargsOption(option));
      }
      return inner.version(false).epilogue(examplesOf(spec));
    },
    (values) => {
      choose(spec, values);
    },
  );
}

function yargsOption(option: CommandSpec["options"][string]): Options {
  // Repeatable options are not arrays for yargs: its arrays would not take "-" for a value.
  return {
    type: option.type,
    describe: option.describe,
    requiresArg: option.type === "string",
    ...(option.alias === undefined ? {} : { alias: option.alias }),
    ...(option.choices === undefined ? {} : { choices: option.choices }),
    ...(option.default === undefined ? {} : { default: option.default }),
    ...(option.required === true ? { demandOption: true } : {}),
  };
}

/** One line each, to be copied whole: yargs' own examples are set in columns that cut them. */
function examplesOf(...specs: readonly CommandSpec[]): string {
  const lines = specs
    .flatMap(({ examples }) => examples)
    .flatMap(([line, does]) => [`  # ${does}`, `  p11seal ${line}`]);
  return ["Examples:", ...lines].join("\n");
}

/** yargs' message as one of ours: a fact in lower case, on one line. */
function usageError(argv: readonly string[], error: unknown): UsageError {
  if (argv.some((word) => /^--(?:[a-z]+-)*pin(?:=|$)/.test(word))) {
    return new UsageError("ERR_PIN_ON_COMMAND_LINE", "a PIN is not taken from the command line", {
      hint: "any user may see it there; use --pin-source env:VAR, file:PATH, fd:N or cmd:COMMAND",
    });
  }
  const text = error instanceof Error ? error.message : "unusable arguments";
  const line = text.replace(/\s*\n\s*/g, " ").trim();
  return new UsageError("ERR_USAGE", line.charAt(0).toLowerCase() + line.slice(1), {
    hint: `see: ${["p11seal", ...commandWords(argv), "--help"].join(" ")}`,
  });
}

/** As many words of the command as were right. */
function commandWords(argv: readonly string[]): readonly string[] {
  const known = [...COMMANDS.map(({ name }) => name), ...Object.keys(GROUPS)];
  const prefixes = [3, 2, 1].map((count) => argv.slice(0, count));
  return prefixes.find((words) => known.includes(words.join(" "))) ?? [];
}

const EXIT_STATUSES =
  "Exit status: 0 done, 1 failed, 2 usage, 3 no identity matches, 4 not authentic,\n" +
  "5 token or PIN, 6 refused by policy.";
