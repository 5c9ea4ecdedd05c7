/**
 * A command line to a command and its arguments. Which commands there are is handed in. yargs is
 * loaded for what it prints: loading it takes longer than sealing a small file does.
 */
import type { CommandSet, CommandSpec, Parsed } from "../command.js";
import type { NamesOf } from "./completions.js";
import { isHelp, readWords } from "./grammar.js";
import type { HelpOptions } from "./help.js";
import { asUsageError, nearestOf, Refusal } from "./refusal.js";

/** The first argument of a call that asks for completions; the words typed so far follow. */
export const COMPLETIONS_REQUEST = "--get-yargs-completions";

/**
 * What to run, or a text to print: help, the version, completions.
 *
 * @throws UsageError `ERR_USAGE`, `ERR_PIN_ON_COMMAND_LINE`
 */
export async function parse(
  argv: readonly string[],
  set: CommandSet,
  options: () => HelpOptions,
  namesOf: NamesOf = () => Promise.resolve([]),
): Promise<Parsed | string> {
  if (argv[0] === COMPLETIONS_REQUEST) {
    const typed = argv.slice(2);
    const { spec, known } = commandOf(typed, set);
    const request = { argv, spec, words: typed.slice(known.length) };
    const { completionsFor } = await import("./completions.js");
    return await completionsFor(request, set, options(), namesOf);
  }
  const { spec, known } = commandOf(argv, set);
  const words = argv.slice(known.length);
  const name = known.join(" ");
  try {
    if (spec !== undefined && !isHelpWord(words)) {
      const args = readWords(spec, words);
      if (args !== "help") return { spec, args };
    } else if (spec === undefined) {
      if (known.length === 0 && words[0] === "--version") return `${options().version}\n`;
      const about = helpAsked(words);
      if (about === undefined) throw notACommand(words, name, set);
      // As in `p11seal help seal`.
      if (about.length > 0) return await parse([...known, ...about, "--help"], set, options);
    }
  } catch (error) {
    throw error instanceof Refusal ? asUsageError(error, argv, name) : error;
  }
  return (await import("./help.js")).helpFor(known, set, options());
}

/** The command at the beginning, or else the groups there; `known` are their words. */
function commandOf(
  argv: readonly string[],
  { commands, groups = {} }: CommandSet,
): { readonly spec: CommandSpec | undefined; readonly known: readonly string[] } {
  const beginnings = [3, 2, 1].map((count) => argv.slice(0, count));
  for (const known of beginnings) {
    const spec = commands.find(({ name }) => name === known.join(" "));
    if (spec !== undefined) return { spec, known };
  }
  const known = beginnings.find((words) => Object.hasOwn(groups, words.join(" ")));
  return { spec: undefined, known: known ?? [] };
}

/** `p11seal seal help`. A file of that name is `./help`, or stands beside an option. */
function isHelpWord(words: readonly string[]): boolean {
  return words.length === 1 && words[0] === "help";
}

/** What help is asked for, where no command was named: words, maybe none; undefined: it isn't. */
function helpAsked([first = "", ...more]: readonly string[]): readonly string[] | undefined {
  if (first !== "help" && !isHelp(first)) return undefined;
  return more.filter((word) => word !== "help" && !word.startsWith("-"));
}

function notACommand([word, ...more]: readonly string[], group: string, set: CommandSet): Refusal {
  if (word === undefined) {
    return new Refusal(group === "" ? "no command was given" : `"${group}" needs a command`);
  }
  if (word.startsWith("-")) {
    return new Refusal(`unknown option: ${word.replace(/=[^]*$/, "")}`);
  }
  const before = group === "" ? "" : `${group} `;
  const found = meantBy(group, [word, ...more], set);
  const meant = found === undefined ? undefined : `"p11seal ${found}"`;
  return new Refusal(`unknown command: ${before}${word}`, { meant });
}

/** The command or group most likely meant, word by word: `key lsit` is `keys list`. */
function meantBy(group: string, words: readonly string[], set: CommandSet): string | undefined {
  const known = [...set.commands.map(({ name }) => name), ...Object.keys(set.groups ?? {})];
  const start = group === "" ? "" : `${group} `;
  let found = start;
  for (const word of words) {
    const next = known
      .filter((name) => name.startsWith(found))
      .map((name) => name.slice(found.length).split(" ")[0] ?? "");
    const synonym = found === "" ? SYNONYMS.get(word) : undefined;
    const meant = next.includes(word) ? word : (synonym ?? nearestOf(word, next));
    if (meant === undefined) break;
    found += `${meant} `;
    if (known.includes(found.trimEnd()) && !Object.hasOwn(set.groups ?? {}, found.trimEnd())) break;
  }
  return found.length > start.length ? found.trimEnd() : undefined;
}

/** What other programs call it. */
const SYNONYMS: ReadonlyMap<string, string> = new Map([
  ["encrypt", "seal"],
  ["enc", "seal"],
  ["wrap", "seal"],
  ["decrypt", "open"],
  ["dec", "open"],
  ["unseal", "open"],
  ["unwrap", "open"],
  ["info", "inspect"],
  ["show", "inspect"],
  ["keygen", "keys generate"],
  ["genkey", "keys generate"],
]);
