/**
 * What may come next on a command line, for the scripts that `p11seal completion` prints: commands,
 * options and choices as yargs proposes them, and known names.
 */
import type { CommandSet, CommandSpec } from "../command.js";
import { nextPlace } from "./grammar.js";
import { rendered, type HelpOptions } from "./help.js";
import type { CommandSyntax, KnownNamesSpec } from "./syntax.js";

/** The names in one of the directory's lists; of a list that can't be read, none. */
export type NamesOf = (list: KnownNamesSpec["of"]) => Promise<readonly string[]>;

export interface CompletionRequest {
  /** The request, the program's name, and the words typed so far; the last one may be empty. */
  readonly argv: readonly string[];
  /** The command, if they name one, and the words after it. */
  readonly spec: CommandSpec | undefined;
  readonly words: readonly string[];
}

/** Tells the scripts that the names of files fit as well. No command and no name looks like it. */
export const FILES_TOO = ":files";

/**
 * One proposal a line. None means: the names of files.
 *
 * Options only once a dash was typed, so that an empty word completes to files; without the `--r`
 * that yargs proposes beside `-r`.
 */
export async function completionsFor(
  { argv, spec, words }: CompletionRequest,
  set: CommandSet,
  options: HelpOptions,
  namesOf: NamesOf,
): Promise<string> {
  // `--from=al` is completed as `--from al` is, with the option in front.
  const [, name = "", value = ""] = /^--([^=]+)=([^]*)$/.exec(words.at(-1) ?? "") ?? [];
  const isAttached = spec !== undefined && Object.hasOwn(spec.options, name);
  const before = isAttached ? [...words.slice(0, -1), `--${name}`] : words.slice(0, -1);
  const current = isAttached ? value : (argv.at(-1) ?? "");
  const start = isAttached ? `--${name}=` : "";

  const known = spec && words.length > 0 ? namesAt(spec, before) : undefined;
  if (known !== undefined && !current.startsWith("-")) {
    const names = [...(known.also ?? []), ...(await namesOf(known.of))];
    const fitting = names.filter((one) => one.startsWith(current)).map((one) => start + one);
    return lines(known.orFile === true && fitting.length > 0 ? [...fitting, FILES_TOO] : fitting);
  }
  if (isAttached && spec.options[name]?.choices === undefined) return "";
  const typed = isAttached ? [...argv.slice(0, -1), `--${name}`, value] : argv;
  const proposed = (await rendered(typed, set, options))
    .split("\n")
    .filter((line) => line !== "" && (current.startsWith("-") || !line.startsWith("-")))
    .filter((line) => !/^--[A-Za-z](?::|$)/.test(line));
  return lines(proposed.map((line) => start + line));
}

/** Which names the word after these may be. */
function namesAt(spec: CommandSyntax, words: readonly string[]): KnownNamesSpec | undefined {
  const place = nextPlace(spec, words);
  if (typeof place === "number") return place === 0 ? spec.operandNames : undefined;
  return place.names;
}

function lines(proposals: readonly string[]): string {
  return proposals.map((line) => `${line}\n`).join("");
}
