/**
 * Recipients files: whom to seal messages to, as text that people write and compare, one entry a
 * line.
 *
 * ```text
 * # comment
 * alice = ssh-rsa AAAA… alice@example.org
 * bob   = keys/bob.pem  # comment
 * carol = pkcs11:token=office;object=carol
 * {"kty":"EC", …}
 * age1…
 * dave  =
 * -----BEGIN PUBLIC KEY-----
 * …
 * -----END PUBLIC KEY-----
 * ```
 *
 * An entry is an OpenSSH line, an age recipient, a JWK on one line, a `pkcs11:` URI, the path of a
 * key file, or a PEM block of several lines. A name may precede it, followed by ` = `. A comment
 * may follow it, after a blank and `#`. Parsing touches no file and no token: keys in the text are
 * parsed, paths and URIs are left to the caller. Errors name the line.
 *
 * The keys that a forge publishes of a user, OpenSSH lines without names, are such a file too. Of
 * those lines, the ones whose keys can only sign are told apart, not refused.
 */
import { ascii, looksLikeUtf16 } from "../../bytes.js";
import { FormatError } from "../../errors.js";
import { looksLikeAgeRecipient } from "../../keys/formats/age-keys.js";
import { type KeyFile, MAX_KEY_FILE_BYTES, parsePublicKey } from "../../keys/formats/key-file.js";
import { textInUtf16 } from "../../keys/formats/foreign-key.js";
import { privateKeyAsRecipient } from "../../keys/refusals.js";
import { exactText } from "../../store/exact.js";
import {
  hasTextBeforeSshKey,
  looksLikeSsh,
  signingSshType,
  textBeforeSshKey,
} from "../../keys/formats/ssh.js";

/** A recipient's key, or where to find it. */
export type RecipientSource =
  | { readonly kind: "key"; readonly key: KeyFile }
  /** A URI of RFC 7512, not parsed yet. */
  | { readonly kind: "uri"; readonly uri: string }
  /** As written; relative to the folder of the recipients file. */
  | { readonly kind: "path"; readonly path: string };

export type NamedSource = RecipientSource & {
  /** As written. No two entries have the same name, regardless of case. */
  readonly name?: string;
};

/** An OpenSSH line without a name, whose key can only sign. `type` is its type of key. */
export interface SigningLine {
  readonly kind: "signs";
  readonly type: string;
  readonly name?: undefined;
}

export type RecipientEntry = (NamedSource | SigningLine) & {
  /** Where the entry starts, from 1. */
  readonly line: number;
};

export const MAX_RECIPIENTS_FILE_BYTES = 16 * 1024 * 1024;
/** As many recipients as a message can have. */
export const MAX_ENTRIES = 1024;

/**
 * The text of a recipients file. Other bytes are refused: a path of them would name another file.
 *
 * @throws FormatError `ERR_RECIPIENTS_FILE`
 */
export function recipientsText(bytes: Uint8Array, where: string): string {
  if (looksLikeUtf16(bytes)) throw textInUtf16("ERR_RECIPIENTS_FILE").at(where);
  return exactText(
    bytes,
    (line) =>
      new FormatError("ERR_RECIPIENTS_FILE", `${where}:${line}: not UTF-8`, {
        hint: "save the file as UTF-8; a path in it must be UTF-8 too",
      }),
  );
}

/**
 * All entries, in order.
 *
 * @param where - the file's name in messages.
 * @param options - `now`: the time at which certificates must be valid.
 * @throws FormatError `ERR_RECIPIENTS_FILE`: not a recipients file, or too large;
 *   `ERR_DUPLICATE_NAME`; and everything `parsePublicKey` throws, with the line.
 */
export function parseRecipientsFile(
  text: string,
  where: string,
  options: { now?: Date } = {},
): RecipientEntry[] {
  if (text.length > MAX_RECIPIENTS_FILE_BYTES) {
    throw new FormatError("ERR_RECIPIENTS_FILE", `${where}: more than 16 MiB`);
  }
  const lines = new Lines(text, where);
  const entries: RecipientEntry[] = [];
  const names = new Map<string, number>();
  for (let line = lines.next(); line !== undefined; line = lines.next()) {
    if (isBlank(line)) continue;
    const entry = readEntry(line, lines, options);
    if (entry.name !== undefined) {
      const folded = entry.name.toLowerCase();
      const earlier = names.get(folded);
      if (earlier !== undefined) {
        throw new FormatError(
          "ERR_DUPLICATE_NAME",
          `${where}:${entry.line}: the name "${entry.name}" is in line ${earlier} already`,
        );
      }
      names.set(folded, entry.line);
    }
    entries.push(entry);
    if (entries.length > MAX_ENTRIES) {
      throw new FormatError("ERR_RECIPIENTS_FILE", `${where}: more than ${MAX_ENTRIES} entries`);
    }
  }
  return entries;
}

/**
 * One recipient on one line, as in a recipients file or after `-r`.
 *
 * @throws as `parsePublicKey`.
 */
export function parseRecipient(
  text: string,
  where: string,
  options: { now?: Date } = {},
): RecipientSource {
  if (/^age-(?:secret-key|plugin)-/i.test(text)) throw privateKeyAsRecipient(`${where}: this`);
  if (/^pkcs11:/i.test(text)) return { kind: "uri", uri: text };
  if (text.startsWith("{") || looksLikeSsh(text) || looksLikeAgeRecipient(text)) {
    return { kind: "key", key: parsePublicKey(ascii(text), where, options) };
  }
  if (hasTextBeforeSshKey(text)) throw textBeforeSshKey().at(where);
  return { kind: "path", path: text };
}

/** True for 1 to 64 letters, digits and `. _ @ + -` that start with a letter or digit. */
export function isRecipientName(text: string): boolean {
  return NAME.test(text);
}

/** The entry of that name, regardless of case. */
export function findByName(
  entries: readonly RecipientEntry[],
  name: string,
): NamedSource | undefined {
  const folded = name.toLowerCase();
  for (const entry of entries) {
    if (entry.kind !== "signs" && entry.name?.toLowerCase() === folded) return entry;
  }
  return undefined;
}

// ── Details ──

function readEntry(first: string, lines: Lines, options: { now?: Date }): RecipientEntry {
  const line = lines.number;
  // Blanks around the sign tell the name in `a = b.pem` from the path `a=b.pem` and from base64.
  const [, left, right = ""] = /^(\S+)[ \t]+=(?:[ \t]+(.*))?$/.exec(first) ?? [];
  if (left === undefined) {
    const type = signingSshType(first);
    // The key is read all the same: a damaged line is damaged, whatever its type says.
    if (type === "ssh-ed25519") parsePublicKey(ascii(first), lines.where, options);
    return type === undefined
      ? { ...readSource(first, lines, options), line }
      : { kind: "signs", type, line };
  }
  if (!isRecipientName(left)) {
    throw lines.error(
      "a name has 1 to 64 letters, digits and . _ @ + -, and starts with a letter or digit",
    );
  }
  if (right !== "" && !right.startsWith("#")) {
    return { ...readSource(right, lines, options), name: left, line };
  }
  let block = lines.next();
  while (block !== undefined && isBlank(block)) block = lines.next();
  if (block === undefined || !startsPem(block)) {
    throw lines.error(`no key after the name "${left}"`, line);
  }
  return { ...readSource(block, lines, options), name: left, line };
}

function readSource(text: string, lines: Lines, options: { now?: Date }): RecipientSource {
  const where = lines.where;
  if (!startsPem(text)) return parseRecipient(withoutComment(text), where, options);
  const block = ascii(pemBlock(text, lines));
  return { kind: "key", key: parsePublicKey(block, where, options) };
}

/** An OpenSSH line has a comment of its own, and a JWK may have such characters in its strings. */
function withoutComment(entry: string): string {
  if (looksLikeSsh(entry) || (entry.startsWith("{") && entry.endsWith("}"))) return entry;
  return entry.replace(/[ \t]#.*$/, "").trimEnd();
}

function isBlank(line: string): boolean {
  return line === "" || line.startsWith("#");
}

/** An exported key starts with the records of its OAEP hash and its use, if it has them. */
function startsPem(line: string): boolean {
  return line.startsWith("-----BEGIN ") || /^p11seal-(?:oaep|use):/.test(line);
}

function pemBlock(first: string, lines: Lines): string {
  const start = lines.number;
  const block: string[] = [];
  let length = 0;
  for (let line: string | undefined = first; line !== undefined; line = lines.next()) {
    block.push(line);
    length += line.length + 1;
    if (line.startsWith("-----END ")) return block.join("\n");
    if (length > MAX_KEY_FILE_BYTES) throw lines.error("a PEM block of more than 64 KiB", start);
  }
  throw lines.error("a PEM block has no END line", start);
}

/** The lines of the text, trimmed, one after the other. */
class Lines {
  readonly #lines: readonly string[];
  readonly #file: string;
  #number = 0;

  constructor(text: string, file: string) {
    this.#lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
    this.#file = file;
  }

  /** Number of the line read last, from 1. */
  get number(): number {
    return this.#number;
  }

  get where(): string {
    return `${this.#file}:${this.#number}`;
  }

  next(): string | undefined {
    const line = this.#lines[this.#number];
    if (line === undefined) return undefined;
    this.#number++;
    // Names and paths reach terminals and file systems later: no escape sequences.
    if (/[^\P{Cc}\t]/u.test(line)) throw this.error("a control character");
    if (line.length > MAX_KEY_FILE_BYTES) throw this.error("a line of more than 64 KiB");
    return line.trim();
  }

  error(fact: string, at = this.#number): FormatError {
    return new FormatError("ERR_RECIPIENTS_FILE", `${this.#file}:${at}: ${fact}`);
  }
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$/;
