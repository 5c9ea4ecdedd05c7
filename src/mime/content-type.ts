/**
 * `Content-Type` and fields of the same form: a value and its parameters (RFC 2045 §5.1), which
 * may be quoted, commented, and cut into pieces with a character set of their own (RFC 2231).
 */
import { FormatError } from "../errors.js";

/** A value such as `multipart/signed`, in lower case, and its parameters by lower-case name. */
export interface FieldValue {
  readonly value: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * @param field - as `HeaderFields.get` returns it
 * @throws FormatError `ERR_MAIL`: malformed, or a parameter given twice
 */
export function parseFieldValue(field: string): FieldValue {
  const scanner = new Scanner(field);
  const value = scanner.take(/[!#-'*-:<-~]+/y)?.toLowerCase();
  if (value === undefined) throw malformed();
  const pieces = new Map<string, string>();
  while (scanner.take(/;/y) !== undefined) {
    // Many programs leave a semicolon at the end.
    const name = scanner.take(TOKEN)?.toLowerCase();
    if (name === undefined) continue;
    if (scanner.take(/=/y) === undefined) throw malformed();
    const text = scanner.quoted() ?? scanner.take(LENIENT_TOKEN);
    if (text === undefined || pieces.has(name)) throw malformed();
    pieces.set(name, text);
  }
  if (!scanner.isAtEnd) throw malformed();
  return { value, parameters: joined(pieces) };
}

/** RFC 2045's token, in a parameter's name. */
const TOKEN = /[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+/y;
/** Values are written without quotes by programs that should quote them. */
const LENIENT_TOKEN = /[^\s;()"]+/y;

/** Takes lexical elements off a field's value; blanks and comments between them don't count. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#skip();
  }

  get isAtEnd(): boolean {
    return this.#at === this.#text.length;
  }

  /** What the pattern (sticky) matches here. */
  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) return undefined;
    this.#at += found.length;
    this.#skip();
    return found;
  }

  /** The content of a quoted string, without its escapes. */
  quoted(): string | undefined {
    return this.take(/"(?:[^"\\]|\\.)*"/y)
      ?.slice(1, -1)
      .replace(/\\(.)/g, "$1");
  }

  #skip(): void {
    let depth = 0;
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at];
      if (character === "(") depth++;
      else if (depth === 0 && character !== " " && character !== "\t") break;
      else if (character === ")") depth--;
      else if (character === "\\") this.#at++;
    }
    if (depth > 0) throw malformed();
  }
}

/** Parameters in pieces (`name*0`, `name*1*`) put together, and percent-encoded ones decoded. */
function joined(pieces: ReadonlyMap<string, string>): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, text] of pieces) {
    const [, base, index, encoded] = /^([^*]+)(?:\*(0|[1-9][0-9]?))?(\*)?$/.exec(name) ?? [];
    if (base === undefined) throw malformed();
    if (index !== undefined && index !== "0") {
      // A piece counts only behind all those before it.
      const before = Number(index) - 1;
      if (!pieces.has(`${base}*${before}`) && !pieces.has(`${base}*${before}*`)) throw malformed();
      continue;
    }
    if (parameters.has(base)) throw malformed();
    parameters.set(
      base,
      index === undefined ? decodedPiece(text, encoded, true) : allPieces(pieces, base),
    );
  }
  return parameters;
}

function allPieces(pieces: ReadonlyMap<string, string>, base: string): string {
  let whole = "";
  for (let index = 0; ; index++) {
    const plain = pieces.get(`${base}*${index}`);
    const encoded = pieces.get(`${base}*${index}*`);
    if (plain !== undefined && encoded !== undefined) throw malformed();
    if (plain === undefined && encoded === undefined) return whole;
    whole += plain ?? decodedPiece(encoded as string, "*", index === 0);
  }
}

/** The first encoded piece begins with its character set and language: `utf-8''`. */
function decodedPiece(text: string, encoded: string | undefined, isFirst: boolean): string {
  if (encoded === undefined) return text;
  const [, charset, rest] = isFirst ? (/^([^']*)'[^']*'(.*)$/.exec(text) ?? []) : ["", "", text];
  if (charset === undefined || rest === undefined) throw malformed();
  const bytes = Buffer.from(
    rest.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    ),
    "latin1",
  );
  return bytes.toString(/^utf-?8$/i.test(charset) ? "utf8" : "latin1");
}

function malformed(): FormatError {
  return new FormatError("ERR_MAIL", "a Content-Type or a field like it is malformed", {
    hint: "save the mail again, as its source (.eml)",
  });
}
