/**
 * The text of a rules file: who has to be able to open what is sealed below its folder. TOML, read
 * strictly: a misspelt key that was ignored would leave an escrow out.
 *
 * ```toml
 * version = 3                  # goes up with each change; needed to sign the file
 * root = true                  # the search ends here; without it, folders above add their rules
 * enforce = true               # open refuses what breaks the rules; only in signed files
 *
 * [[recipient]]                # as in recipients.toml: an entry can be copied from there
 * name = "vault"
 * fingerprint = "3f2a 99b1 … " # 16 groups of four digits, or SHA256:3f2a99b1…
 * key = "MFkwEwYHKoZIzj0…"     # optional: for those whose directory lacks the key
 * added = "2026-11-23T10:20:30Z"  # optional: for max_age
 *
 * [[sender]]                   # keys that sign
 * name = "carol"
 * fingerprint = "SHA256:…"
 *
 * [[rule]]
 * paths = ["finance/**"]       # from this file's folder; `path-glob.ts`
 * to = ["alice"]               # recipients where the command line names none
 * always = ["vault"]           # recipients of everything
 * only = ["alice", "vault"]    # nobody else; those in `always` may be left out here
 * signed = true
 * senders = ["carol"]          # signed, and by one of these
 * min_rsa = 3072               # bits
 * curves = ["P-384", "P-521"]  # of keys on curves; RSA keys are not concerned
 * oaep = ["sha256"]            # hashes that an RSA key may be used with
 * max_age = "730d"             # of recipients' keys
 * ```
 *
 * A key is named twice, once for all rules, by name and by fingerprint: rules then read as names,
 * a name that was mistyped is an error and not somebody else, and a directory in which another key
 * has the name changes nothing. Each entry is a table with the fields of the directory's own files,
 * not `name = "fingerprint"`: there, TOML would take the dots in a name for tables.
 */
import { fromBase64, toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import { FormatError, P11SealError, UsageError } from "../../errors.js";
import type { OaepHash, PublicKey } from "../../keys/key.js";
import { publicKeyFromSpki } from "../../keys/public-key.js";
import { exactText } from "../../store/exact.js";
import { tomlTable } from "../../store/toml.js";
import { ANY_SENDER, momentOf, requireUse, type DirectoryKind } from "../directory/directory.js";
import { isRecipientName } from "../directory/recipients-file.js";
import { parseDuration } from "../duration.js";
import { PathGlob } from "./path-glob.js";

/** The longest rules file, bytes. */
export const MAX_RULES_BYTES = 1024 * 1024;

/** The curves that `curves` can name. A hybrid key counts by the curve of its other half. */
export const RULE_CURVES = ["P-256", "P-384", "P-521", "X25519"] as const;
export type RuleCurve = (typeof RULE_CURVES)[number];

/** A key that rules name. */
export interface NamedKey {
  readonly name: string;
  /** SHA-256 of the SPKI, hexadecimal. */
  readonly fingerprint: string;
  /** The key itself, if the file holds it. */
  readonly publicKey?: PublicKey;
  /** When it was added, milliseconds since 1970-01-01T00:00Z. */
  readonly addedMs?: number;
}

/** What is demanded of who signs, and of recipients' keys and their use. */
export interface Limits {
  readonly signed: boolean;
  /** Who may have signed; absent: anybody. */
  readonly senders?: readonly NamedKey[];
  readonly minRsaBits?: number;
  readonly curves?: readonly RuleCurve[];
  readonly oaep?: readonly OaepHash[];
  readonly maxAgeMs?: number;
}

export interface Rule extends Limits {
  /** Its place in the file, from 1. */
  readonly number: number;
  readonly paths: readonly PathGlob[];
  readonly to: readonly NamedKey[];
  readonly always: readonly NamedKey[];
  /** Absent: anybody. */
  readonly only?: readonly NamedKey[];
}

export interface RulesText {
  readonly version?: number;
  readonly root: boolean;
  readonly enforce: boolean;
  readonly rules: readonly Rule[];
}

/**
 * @param where - the file's name in messages.
 * @throws FormatError `ERR_RULES_FILE`; PolicyError, UnsupportedError for a key that can't be what
 *   it is named for
 */
export function parseRules(bytes: Uint8Array, where: string): RulesText {
  const text = exactText(bytes, (line) => malformed(`${where}:${line}`, "not UTF-8"));
  const file = new Table(tomlTable(text, where, malformed), where, FILE_KEYS);
  const recipients = namedKeys(file, "recipient", "recipients");
  const senders = namedKeys(file, "sender", "senders");
  const rules = file
    .tables("rule", RULE_KEYS)
    .map((table, index) => ruleOf(table, index + 1, { recipients, senders }));
  return {
    ...defined({ version: file.whole("version", 1, Number.MAX_SAFE_INTEGER) }),
    root: file.flag("root"),
    enforce: file.flag("enforce"),
    rules,
  };
}

/**
 * A fingerprint as people write it: `SHA256:` and 64 hexadecimal digits, or the digits alone, with
 * blanks between groups of them.
 *
 * @returns 64 lower-case digits; undefined for anything else
 */
export function fingerprintOf(text: string): string | undefined {
  const digits = text.replace(/^SHA256:/, "").replaceAll(" ", "");
  return /^[0-9A-Fa-f]{64}$/.test(digits) ? digits.toLowerCase() : undefined;
}

// ── Details ──

const FILE_KEYS = ["version", "root", "enforce", "recipient", "sender", "rule"];
const KEY_KEYS = ["name", "fingerprint", "key", "added"];
const RULE_KEYS = [
  ...["paths", "to", "always", "only", "signed", "senders"],
  ...["min_rsa", "curves", "oaep", "max_age"],
];
const OAEP_HASHES = ["sha1", "sha256", "sha384", "sha512"] as const satisfies OaepHash[];

/** Keys by name, folded. */
type KeysByName = ReadonlyMap<string, NamedKey>;

function ruleOf(
  table: Table,
  number: number,
  keys: { readonly recipients: KeysByName; readonly senders: KeysByName },
): Rule {
  const { recipients } = keys;
  const paths = table.texts("paths") ?? table.fail("it has no paths");
  const rule = {
    number,
    paths: paths.map((text) => table.placing(() => new PathGlob(text))),
    to: table.named("to", recipients, "recipient") ?? [],
    always: table.named("always", recipients, "recipient") ?? [],
    signed: table.flag("signed"),
    ...defined({
      only: table.named("only", recipients, "recipient"),
      senders: table.named("senders", keys.senders, "sender"),
      minRsaBits: table.whole("min_rsa", 2048, 8192),
      curves: table.choices("curves", RULE_CURVES),
      oaep: table.choices("oaep", OAEP_HASHES),
      maxAgeMs: table.duration("max_age"),
    }),
  };
  if (Object.keys(table.values).length === 1) {
    return table.fail("it demands nothing", 'say what it is for, as in: always = ["vault"]');
  }
  return rule;
}

function namedKeys(file: Table, kind: string, use: DirectoryKind): KeysByName {
  const keys = new Map<string, NamedKey>();
  const holders = new Map<string, string>();
  for (const table of file.tables(kind, KEY_KEYS)) {
    const key = namedKey(table, use);
    const folded = key.name.toLowerCase();
    if (keys.has(folded)) table.fail(`the name "${key.name}" is there twice`);
    const holder = holders.get(key.fingerprint);
    if (holder !== undefined) table.fail(`"${key.name}" has the key of "${holder}"`);
    keys.set(folded, key);
    holders.set(key.fingerprint, key.name);
  }
  return keys;
}

function namedKey(table: Table, use: DirectoryKind): NamedKey {
  const name = table.text("name") ?? table.fail("it has no name");
  if (!isRecipientName(name) || name.toLowerCase() === ANY_SENDER) {
    table.fail("name is not a name for a key");
  }
  const written = table.text("fingerprint") ?? table.fail(`"${name}" has no fingerprint`);
  const fingerprint =
    fingerprintOf(written) ??
    table.fail(
      `the fingerprint of "${name}" is not 64 hexadecimal digits`,
      "copy it from: p11seal recipients list, p11seal senders list",
    );
  const added = table.text("added");
  const addedMs = added === undefined ? undefined : momentOf(added);
  if (added !== undefined && addedMs === undefined) {
    table.fail("added is not a time such as 2027-01-31T12:00:00Z");
  }
  const key = table.text("key");
  const publicKey = key === undefined ? undefined : table.placing(() => keyFrom(key, use));
  if (publicKey !== undefined && toHex(publicKey.fingerprint) !== fingerprint) {
    table.fail(`the fingerprint of "${name}" does not match its key`);
  }
  return { name, fingerprint, ...defined({ publicKey, addedMs }) };
}

function keyFrom(text: string, use: DirectoryKind): PublicKey {
  let spki: Uint8Array;
  try {
    spki = fromBase64(text);
  } catch {
    throw new FormatError("ERR_RULES_FILE", "key is not base64 of a public key", {
      hint: "copy it from recipients.toml or senders.toml in the data folder",
    });
  }
  const publicKey = publicKeyFromSpki(spki);
  requireUse(publicKey, use);
  return publicKey;
}

/** A table of the file, each of whose values has one form. */
class Table {
  readonly values: Readonly<Record<string, unknown>>;
  readonly #where: string;

  /** @throws FormatError: a key that is none of `known` */
  constructor(values: Readonly<Record<string, unknown>>, where: string, known: readonly string[]) {
    this.values = values;
    this.#where = where;
    const strange = Object.keys(values).find((name) => !known.includes(name));
    if (strange !== undefined) {
      this.fail(`unknown key ${JSON.stringify(strange)}`, `known are ${known.join(", ")}`);
    }
  }

  fail(fact: string, hint?: string): never {
    throw malformed(this.#where, fact, hint);
  }

  /** What `make` returns; its errors say where. */
  placing<T>(make: () => T): T {
    try {
      return make();
    } catch (error) {
      throw error instanceof P11SealError ? error.at(this.#where) : error;
    }
  }

  text(name: string): string | undefined {
    const value = this.#own(name);
    if (value === undefined || typeof value === "string") return value;
    return this.fail(`${name} is not text`);
  }

  flag(name: string): boolean {
    const value = this.#own(name);
    if (value === undefined || typeof value === "boolean") return value ?? false;
    return this.fail(`${name} is neither true nor false`);
  }

  whole(name: string, least: number, most: number): number | undefined {
    const value = this.#own(name);
    if (value === undefined) return undefined;
    const isWhole = typeof value === "number" && Number.isSafeInteger(value);
    if (isWhole && value >= least && value <= most) return value;
    return this.fail(
      most === Number.MAX_SAFE_INTEGER
        ? `${name} is not a whole number from ${least}`
        : `${name} is not a whole number from ${least} to ${most}`,
    );
  }

  duration(name: string): number | undefined {
    const text = this.text(name);
    try {
      return text === undefined ? undefined : parseDuration(text);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      return this.fail(`${name} is not a length of time, such as "730d"`);
    }
  }

  texts(name: string): readonly string[] | undefined {
    const value = this.#own(name);
    if (value === undefined) return undefined;
    const isList = Array.isArray(value) && value.every((one) => typeof one === "string");
    if (!isList || value.length === 0) {
      return this.fail(`${name} is not a list of texts`, "an empty list is left out");
    }
    const twice = value.find((one, at) => value.indexOf(one) !== at);
    if (twice !== undefined) this.fail(`${name} has ${JSON.stringify(twice)} twice`);
    return value;
  }

  choices<T extends string>(name: string, known: readonly T[]): readonly T[] | undefined {
    const isKnown = (one: string): one is T => known.some((choice) => choice === one);
    return this.texts(name)?.map((one) =>
      isKnown(one)
        ? one
        : this.fail(`${name} has ${JSON.stringify(one)}`, `it may name ${known.join(", ")}`),
    );
  }

  named(name: string, keys: KeysByName, kind: string): readonly NamedKey[] | undefined {
    return this.texts(name)?.map(
      (one) =>
        keys.get(one.toLowerCase()) ??
        this.fail(
          `${name} names ${JSON.stringify(one)}, which no [[${kind}]] is called`,
          `say whose key that is: [[${kind}]], name and fingerprint`,
        ),
    );
  }

  tables(name: string, known: readonly string[]): readonly Table[] {
    const value = this.#own(name);
    if (value === undefined) return [];
    if (!Array.isArray(value)) return this.fail(`${name} is not a table in [[${name}]]`);
    return value.map((one: unknown, index) => {
      const where = `${this.#where}: ${name} ${index + 1}`;
      if (typeof one !== "object" || one === null || Array.isArray(one) || one instanceof Date) {
        throw malformed(where, "not a table");
      }
      return new Table(one as Record<string, unknown>, where, known);
    });
  }

  #own(name: string): unknown {
    return Object.hasOwn(this.values, name) ? this.values[name] : undefined;
  }
}

function malformed(where: string, fact: string, hint?: string): FormatError {
  return new FormatError("ERR_RULES_FILE", `${where}: ${fact}`, defined({ hint }));
}
