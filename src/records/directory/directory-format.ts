/** The directory as text: TOML, an array of tables, read strictly. */
import { stringify } from "smol-toml";
import { equal, fromBase64, toBase64 } from "../../bytes.js";
import { defined } from "../../defined.js";
import { FormatError, P11SealError } from "../../errors.js";
import type { OaepHash, PublicKey } from "../../keys/key.js";
import { keyInSpki, publicKeyFromSpki } from "../../keys/public-key.js";
import { parseX509 } from "../../x509/certificate.js";
import { exactText } from "../../store/exact.js";
import { tomlTable } from "../../store/toml.js";
import {
  findEntry,
  formatMoment,
  holderOf,
  momentOf,
  requireUse,
  spokenFingerprint,
  type DirectoryEntry,
  type DirectoryKind,
} from "./directory.js";
import { isRecipientName } from "./recipients-file.js";

/** The longest file, bytes. */
export const MAX_DIRECTORY_BYTES = 16 * 1024 * 1024;

/**
 * The text of a directory's file.
 *
 * @throws FormatError `ERR_DIRECTORY`: not UTF-8
 */
export function directoryText(bytes: Uint8Array, where: string): string {
  return exactText(bytes, (line) => malformed(`${where}:${line}`, "not UTF-8"));
}

/**
 * @param where - the file's name in messages.
 * @throws FormatError `ERR_DIRECTORY`; PolicyError, UnsupportedError for keys that the list may not
 *   hold
 */
export function parseDirectory(text: string, kind: DirectoryKind, where: string): DirectoryEntry[] {
  if (text.length > MAX_DIRECTORY_BYTES) throw malformed(where, "more than 16 MiB");
  const file = tomlTable(text, where, malformed);
  const { version, entry: values = [], ...unknown } = file;
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw malformed(where, `unknown key "${name}"`);
  if (version !== VERSION) throw malformed(where, `version is not ${VERSION}`);
  if (!Array.isArray(values)) throw malformed(where, "entry is not a list");

  const entries: DirectoryEntry[] = [];
  for (const value of values) {
    const entry = entryOf(value, `${where}: entry ${entries.length + 1}`);
    requireUse(entry.publicKey, kind);
    if (findEntry(entries, entry.name) !== undefined || holderOf(entries, entry) !== undefined) {
      throw malformed(where, `"${entry.name}", or its key, is there twice`);
    }
    entries.push(entry);
  }
  return entries;
}

export function formatDirectory(entries: readonly DirectoryEntry[], kind: DirectoryKind): string {
  const body = stringify({ version: VERSION, entry: entries.map(valueOf) });
  return `# Written by p11seal; change it with: p11seal ${kind} add, p11seal ${kind} remove\n${body}\n`;
}

// ── Details ──

const VERSION = 1;
const EXAMPLE = "2027-01-31T12:00:00Z";
const OAEP_HASHES: readonly unknown[] = ["sha1", "sha256", "sha384", "sha512"] satisfies OaepHash[];

function valueOf(entry: DirectoryEntry): Record<string, string | string[]> {
  const moment = (ms: number | undefined): string | undefined =>
    ms === undefined ? undefined : formatMoment(ms);
  return {
    name: entry.name,
    fingerprint: spokenFingerprint(entry.publicKey),
    key: toBase64(entry.publicKey.spki),
    source: entry.source,
    added: formatMoment(entry.addedMs),
    ...defined({
      "not-before": moment(entry.notBeforeMs),
      "not-after": moment(entry.notAfterMs),
      oaep: entry.oaep,
      certificates: entry.certificates?.map(toBase64),
    }),
  };
}

function entryOf(value: unknown, where: string): DirectoryEntry {
  if (typeof value !== "object" || value === null) throw malformed(where, "not a table");
  const fields = value as Readonly<Record<string, unknown>>;
  const strange = Object.keys(fields).find((name) => !FIELDS.has(name));
  if (strange !== undefined) throw malformed(where, `unknown key "${strange}"`);
  const text = (name: string): string => {
    const field = fields[name];
    if (typeof field !== "string") throw malformed(where, `${name} is not text`);
    return field;
  };
  const moment = (name: string): number => {
    const ms = momentOf(text(name));
    if (ms === undefined) throw malformed(where, `${name} is not a time such as ${EXAMPLE}`);
    return ms;
  };
  const { oaep } = fields;
  if (oaep !== undefined && !OAEP_HASHES.includes(oaep))
    throw malformed(where, "oaep is not the name of a hash");
  const name = text("name");
  if (!isRecipientName(name)) throw malformed(where, "name is not a name for a key");
  const publicKey = keyOf(text("key"), where);
  if (text("fingerprint") !== spokenFingerprint(publicKey)) {
    throw malformed(where, "the fingerprint does not match the key");
  }
  if (oaep !== undefined && publicKey.type !== "rsa")
    throw malformed(where, "oaep is for RSA keys only");
  return {
    name,
    publicKey,
    source: text("source"),
    addedMs: moment("added"),
    ...(fields["not-before"] !== undefined && { notBeforeMs: moment("not-before") }),
    ...(fields["not-after"] !== undefined && { notAfterMs: moment("not-after") }),
    ...defined({
      oaep: oaep as OaepHash | undefined,
      certificates: certificatesOf(fields["certificates"], publicKey, where),
    }),
  };
}

const FIELDS: ReadonlySet<string> = new Set([
  ...["name", "fingerprint", "key", "source", "added", "not-before", "not-after", "oaep"],
  "certificates",
]);

function certificatesOf(
  value: unknown,
  publicKey: PublicKey,
  where: string,
): DirectoryEntry["certificates"] {
  if (value === undefined) return undefined;
  const isList = Array.isArray(value) && value.every((one) => typeof one === "string");
  if (!isList || value.length > MAX_CERTIFICATES) {
    throw malformed(where, `certificates is not a list of 1 to ${MAX_CERTIFICATES} texts`);
  }
  try {
    const [own, ...issuers] = value.map((one) => fromBase64(one));
    if (own === undefined) throw malformed(where, "certificates is an empty list");
    const { spki } = parseX509(own);
    for (const issuer of issuers) parseX509(issuer);
    if (!equal(keyInSpki(spki).publicKey.spki, publicKey.spki)) {
      throw malformed(where, "the certificate is another key's");
    }
    return [own, ...issuers];
  } catch (error) {
    if (error instanceof P11SealError && error.code !== "ERR_DIRECTORY") {
      throw malformed(where, `certificates: ${error.message}`);
    }
    throw error;
  }
}

/** The key's own, and as many issuers as a path has. */
export const MAX_CERTIFICATES = 10;

function keyOf(text: string, where: string): PublicKey {
  try {
    return publicKeyFromSpki(fromBase64(text));
  } catch (error) {
    if (error instanceof P11SealError) throw malformed(where, `key: ${error.message}`);
    throw error;
  }
}

function malformed(where: string, fact: string): FormatError {
  return new FormatError("ERR_DIRECTORY", `${where}: ${fact}`, {
    hint: "undo what was changed in the file by hand; change it with `add` and `remove`",
  });
}
