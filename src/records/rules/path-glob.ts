/**
 * Which files a rule is about: a glob over the path from the rules file's folder, with `/` on every
 * system.
 *
 * `*` stands for any characters of one name, a leading dot included, and `?` for one; `**`, a whole
 * name by itself, for any number of folders. `finance/**` is all that lies below finance, and
 * `*.p11s` what lies beside the rules file. Nothing else has a meaning, and what other globs give
 * one (brackets, braces, backslash, a leading `!`) is refused: a rule that its author and its
 * reader take differently leaves an escrow out unseen.
 *
 * That is why this is no library's. Those in use (picomatch and what is built on it) take patterns
 * for negation, alternatives and character classes unless each is turned off, and match by regular
 * expressions that backtrack; a rules file may be anybody's. Here a match takes at most the product
 * of both lengths.
 */
import { FormatError } from "../../errors.js";

export class PathGlob {
  /** As it was written. */
  readonly text: string;
  readonly #names: readonly Name[];

  /** @throws FormatError `ERR_RULES_FILE` */
  constructor(text: string) {
    this.text = text;
    const fault = faultIn(text);
    if (fault !== undefined) throw fault;
    const names = text.split("/");
    // What is below a folder is not the folder's own name.
    if (names.at(-1) === FOLDERS) names.push("*");
    this.#names = names.map((name) => (name === FOLDERS ? FOLDERS : characters(name)));
  }

  /** @param names - of the folders below the rules file's, then of the file */
  matches(names: readonly string[]): boolean {
    return fits(this.#names, names.map(characters), {
      isAny: (name) => name === FOLDERS,
      isOne: (pattern, name) =>
        fits(pattern as Characters, name, {
          isAny: (character) => character === "*",
          isOne: (one, character) => one === "?" || one === character,
        }),
    });
  }
}

/** `**`, or the characters of a name. */
type Name = typeof FOLDERS | Characters;
type Characters = readonly string[];

const FOLDERS = "**";

/** macOS decomposes accents in names, and keyboards type them composed. */
function characters(name: string): Characters {
  return Array.from(name.normalize("NFC"));
}

interface Wildcards<P, T> {
  /** Stands for any number of things. */
  readonly isAny: (pattern: P) => boolean;
  readonly isOne: (pattern: P, thing: T) => boolean;
}

/** Only the last wildcard passed is ever tried again: an earlier one could not do better. */
function fits<P, T>(
  pattern: readonly P[],
  things: readonly T[],
  { isAny, isOne }: Wildcards<P, T>,
): boolean {
  let at = 0;
  let any: { readonly after: number; taken: number } | undefined;
  for (let seen = 0; seen < things.length;) {
    const wanted = pattern[at];
    if (wanted !== undefined && isAny(wanted)) {
      at += 1;
      any = { after: at, taken: seen };
    } else if (wanted !== undefined && isOne(wanted, things[seen] as T)) {
      at += 1;
      seen += 1;
    } else if (any !== undefined) {
      any.taken += 1;
      at = any.after;
      seen = any.taken;
    } else {
      return false;
    }
  }
  return pattern.slice(at).every(isAny);
}

function faultIn(text: string): FormatError | undefined {
  const fault = (fact: string, hint: string): FormatError =>
    new FormatError("ERR_RULES_FILE", `the path ${JSON.stringify(text)} ${fact}`, { hint });
  if (text === "") return fault("is empty", 'all files are "**"');
  if (text.includes("\\")) return fault("has a backslash", "write / between names, on Windows too");
  if (text.startsWith("/") || /^[A-Za-z]:/.test(text)) {
    return fault("is absolute", "paths start at the folder of the rules file");
  }
  if (text.startsWith("!")) {
    return fault("starts with !", "no rule takes anything away; name the files that it is about");
  }
  const special = /[[\]{}]/.exec(text)?.[0];
  if (special !== undefined) {
    return fault(`has ${special}`, `list the paths one by one; ? stands for a real ${special}`);
  }
  const names = text.split("/");
  if (text.endsWith("/")) return fault("ends in /", `what is in the folder is "${text}**"`);
  if (names.includes("")) return fault("has an empty name", "write a single /");
  if (names.includes("..") || names.includes(".")) {
    return fault("has . or .. in it", "rules are about the folder of their file and what is below");
  }
  const mixed = names.find((name) => name !== FOLDERS && name.includes(FOLDERS));
  if (mixed !== undefined) {
    return fault(
      `has ** within a name`,
      "** stands alone between two /; write * for part of a name",
    );
  }
  return undefined;
}
