/**
 * The directory: which key belongs to which name, according to this user. There is one list of
 * senders, one of custodians and one of recipients, each a text file that people can read and
 * compare:
 *
 * ```toml
 * [[entry]]
 * name = "alice"
 * fingerprint = "3f2a 99b1 … "
 * key = "MFkwEwYHKoZIzj0…"
 * source = "alice.pem"
 * added = "2026-11-23T10:20:30Z"
 * not-after = "2027-11-23T23:59:59Z"
 * certificates = ["MIIB0zCC…", "MIIBxjCC…"]
 * ```
 *
 * A key never replaces another one under the same name. To trust a new key, compare fingerprints,
 * remove the old entry and add a new one. The fingerprint in the file is for people; it must match
 * the key.
 *
 * Here are the entries and their rules; `directory-format.ts` has the text, `directory-file.ts` the
 * files.
 */
import { equal } from "../../bytes.js";
import { PolicyError, UsageError } from "../../errors.js";
import type { OaepHash, PublicKey } from "../../keys/key.js";
import { fingerprintGroups } from "../../keys/public-key.js";
import { requireExchange } from "../../keys/recipient-strength.js";
import { requireSigner } from "../../keys/signer-strength.js";
import { isRecipientName } from "./recipients-file.js";

/**
 * What the user trusts a key for. Senders sign messages. Custodians re-wrap messages for other
 * recipients, and sign that they did. Neither may do what the other does, unless the key is in both
 * lists.
 */
export type DirectoryKind = "senders" | "custodians" | "recipients";

export interface DirectoryEntry {
  /** 1 to 64 letters, digits and `. _ @ + -`; unique, regardless of case. */
  readonly name: string;
  readonly publicKey: PublicKey;
  /** Where the key came from: the name of a file, or a URI. */
  readonly source: string;
  /** When it was added, milliseconds since 1970-01-01T00:00Z; whole seconds. */
  readonly addedMs: number;
  /** When the key is valid, milliseconds since 1970-01-01T00:00Z; absent: no limit on that side. */
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** For an RSA recipient: the OAEP record (see `Recipient`). */
  readonly oaep?: OaepHash;
  /**
   * The key's certificate, then those of its issuers, DER; never empty. The key is trusted because
   * the user says so; whether the certificate is believed is another question.
   */
  readonly certificates?: readonly Uint8Array[];
}

/** Stands for every trusted sender, so no sender and no custodian can have this name. */
export const ANY_SENDER = "any";

/** The fingerprint as people read it to each other: 16 groups of four digits. */
export function spokenFingerprint(publicKey: PublicKey): string {
  return fingerprintGroups(publicKey).join(" ");
}

/**
 * The list with the entry in it. If the name has that key already, it gets the new limits and
 * source.
 *
 * @throws UsageError `ERR_NAME`; PolicyError `ERR_KEY_CHANGED`: the name has another key;
 *   `ERR_KEY_KNOWN`: the key has another name; `ERR_WEAK_KEY`, `ERR_ROCA`; UnsupportedError
 *   `ERR_SIGNING_KEY`, `ERR_SIGN_ONLY`: a key that can't do what the list is for
 */
export function withEntry(
  entries: readonly DirectoryEntry[],
  entry: DirectoryEntry,
  kind: DirectoryKind,
): DirectoryEntry[] {
  requireName(entry.name, kind);
  requireUse(entry.publicKey, kind);
  const known = findEntry(entries, entry.name);
  if (known !== undefined && !isSameKey(known, entry)) {
    const [old, fresh] = [spokenFingerprint(known.publicKey), spokenFingerprint(entry.publicKey)];
    throw new PolicyError("ERR_KEY_CHANGED", `"${known.name}" has another key: ${old}`, {
      hint: `the new one is ${fresh}; if its owner confirms that, remove the old one and add this`,
    });
  }
  const holder = holderOf(entries, entry);
  if (holder !== undefined && holder !== known) {
    throw new PolicyError("ERR_KEY_KNOWN", `this key is "${holder.name}" already`, {
      hint: "a key has one name; to change it, remove the old one first",
    });
  }
  if (known === undefined) return [...entries, entry];
  return entries.map((candidate) => (candidate === known ? entry : candidate));
}

/** @throws UsageError `ERR_NAME_UNKNOWN` */
export function withoutEntry(entries: readonly DirectoryEntry[], name: string): DirectoryEntry[] {
  const known = requireEntry(entries, name);
  return entries.filter((entry) => entry !== known);
}

/** The entry of that name, regardless of case. */
export function findEntry(
  entries: readonly DirectoryEntry[],
  name: string,
): DirectoryEntry | undefined {
  const folded = name.toLowerCase();
  return entries.find((entry) => entry.name.toLowerCase() === folded);
}

/** @throws UsageError `ERR_NAME_UNKNOWN` */
export function requireEntry(entries: readonly DirectoryEntry[], name: string): DirectoryEntry {
  const known = findEntry(entries, name);
  if (known === undefined) {
    throw new UsageError("ERR_NAME_UNKNOWN", `nobody is called "${name}" here`);
  }
  return known;
}

/**
 * The trusted sender whose key signed a message. It must be one of `from`, and its key valid both
 * when the message was sealed and now.
 *
 * @param sender - from a signature that holds.
 * @param options - `from`: names, or `any`.
 * @throws PolicyError `ERR_SENDER_UNKNOWN`: no sender has the key, or `from` has an unknown name;
 *   `ERR_SENDER_UNEXPECTED`: not one of `from`; `ERR_SENDER_EXPIRED`, `ERR_SENDER_NOT_YET_VALID`
 */
export function trustedSender(
  senders: readonly DirectoryEntry[],
  sender: { readonly publicKey: PublicKey; readonly createdMs: number },
  options: { readonly from: readonly string[] | typeof ANY_SENDER; readonly nowMs: number },
): DirectoryEntry {
  const { from, nowMs } = options;
  const wanted = from === ANY_SENDER ? undefined : from.map((name) => named(senders, name));
  const entry = holderOf(senders, sender);
  if (entry === undefined) {
    const fingerprint = spokenFingerprint(sender.publicKey);
    throw new PolicyError("ERR_SENDER_UNKNOWN", `no trusted sender has the key ${fingerprint}`, {
      hint: "if its owner confirms that fingerprint, add the key with: p11seal senders add",
    });
  }
  if (wanted?.includes(entry) === false) {
    const names = wanted.map(({ name }) => name).join(", ");
    throw new PolicyError("ERR_SENDER_UNEXPECTED", `"${entry.name}" sent this, not ${names}`, {
      hint: "name this sender with --from if the message is wanted",
    });
  }
  requireValid(entry, sender.createdMs, nowMs);
  return entry;
}

/** @throws PolicyError `ERR_RECIPIENT_EXPIRED`, `ERR_RECIPIENT_NOT_YET_VALID` */
export function requireValidRecipient(entry: DirectoryEntry, nowMs: number): void {
  const limit = limitAt(entry, nowMs);
  if (limit === undefined) return;
  const code = limit.early ? "ERR_RECIPIENT_NOT_YET_VALID" : "ERR_RECIPIENT_EXPIRED";
  throw new PolicyError(code, `the key of "${entry.name}" ${limit.fact}`, {
    hint: "ask its owner for a key that is valid now",
  });
}

/**
 * A moment as people write it: `2027-01-31T12:00:00Z`, or the day `2027-01-31`, which stands for
 * its start or end in UTC.
 *
 * @returns milliseconds since 1970-01-01T00:00Z
 * @throws UsageError `ERR_MOMENT`
 */
export function parseMoment(text: string, day: "start" | "end"): number {
  const time = day === "start" ? "00:00:00" : "23:59:59";
  const ms = momentOf(DAY.test(text) ? `${text}T${time}Z` : text);
  if (ms !== undefined) return ms;
  throw new UsageError("ERR_MOMENT", `not a day or a time: "${text}"`, {
    hint: "write 2027-01-31, or with the time, in UTC, 2027-01-31T12:00:00Z",
  });
}

// ── Rules ──

function requireName(name: string, kind: DirectoryKind): void {
  if (!isRecipientName(name)) {
    throw new UsageError("ERR_NAME", `not a name: "${name}"`, {
      hint: "use 1 to 64 letters, digits and . _ @ + -, and start with a letter or digit",
    });
  }
  if (kind !== "recipients" && name.toLowerCase() === ANY_SENDER) {
    throw new UsageError("ERR_NAME", `"${name}" stands for every trusted sender`);
  }
}

/** @throws as `requireExchange` and `requireSigner` */
export function requireUse(publicKey: PublicKey, kind: DirectoryKind): void {
  if (kind === "recipients") requireExchange(publicKey);
  else requireSigner(publicKey);
}

function requireValid(entry: DirectoryEntry, createdMs: number, nowMs: number): void {
  const limit = senderLimit(entry, createdMs, nowMs);
  if (limit === undefined) return;
  const code = limit.early ? "ERR_SENDER_NOT_YET_VALID" : "ERR_SENDER_EXPIRED";
  throw new PolicyError(code, limit.fact, { hint: "ask the sender for a key that is valid now" });
}

/**
 * Why a key does not speak for its owner in what was signed at `createdMs`; undefined if it does.
 * Whoever stole a key can write any time into a message, so the receiver's clock counts as well.
 */
export function senderLimit(
  entry: DirectoryEntry,
  createdMs: number,
  nowMs: number,
): Limit | undefined {
  const limit = limitAt(entry, nowMs) ?? limitAt(entry, createdMs);
  return limit && { ...limit, fact: `the key of "${entry.name}" ${limit.fact}` };
}

/** Why a key does not count. */
export interface Limit {
  /** True: its validity had not begun; false: it had ended. */
  readonly early: boolean;
  readonly fact: string;
}

/** Why the key is not valid at that time; `undefined` if it is. */
export function limitAt(
  { notBeforeMs, notAfterMs }: DirectoryEntry,
  ms: number,
): Limit | undefined {
  if (notBeforeMs !== undefined && ms < notBeforeMs) {
    return { early: true, fact: `is not valid before ${formatMoment(notBeforeMs)}` };
  }
  if (notAfterMs !== undefined && ms > notAfterMs) {
    return { early: false, fact: `was valid until ${formatMoment(notAfterMs)}` };
  }
  return undefined;
}

function named(senders: readonly DirectoryEntry[], name: string): DirectoryEntry {
  const entry = findEntry(senders, name);
  if (entry !== undefined) return entry;
  throw new PolicyError("ERR_SENDER_UNKNOWN", `no trusted sender is called "${name}"`, {
    hint: "p11seal senders list shows the names",
  });
}

export function holderOf(
  entries: readonly DirectoryEntry[],
  key: { readonly publicKey: PublicKey },
): DirectoryEntry | undefined {
  return entries.find((entry) => isSameKey(entry, key));
}

function isSameKey(
  { publicKey }: { readonly publicKey: PublicKey },
  other: { readonly publicKey: PublicKey },
): boolean {
  return equal(publicKey.spki, other.publicKey.spki);
}

// ── Times ──

const DAY = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/;

/** As the directory writes it: `2027-01-31T12:00:00Z`. */
export function formatMoment(ms: number): string {
  return new Date(ms).toISOString().replace(/\.[0-9]{3}Z$/, "Z");
}

/** Whole seconds, UTC; `undefined` for anything else, such as the 31st of February. */
export function momentOf(text: string): number | undefined {
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) || formatMoment(ms) !== text ? undefined : ms;
}
