/**
 * What a message's header shows to be wrong with it, without any key. Whose keys and signatures
 * those are, the user's directory says; what rules demand of it is in `ruled-findings.ts`.
 */
import type {
  ClaimedSender,
  MessageInfo,
  PassedOn,
  RecipientInfo,
} from "../../../envelope/message-info.js";
import { senderLimit, type DirectoryEntry } from "../../../records/directory/directory.js";
import type { Finding, FindingKind } from "./findings.js";
import type { Explanation, Holder } from "./holders.js";

/** Whom the user knows, read once a run. */
export interface KnownSenders {
  /** By the key's SHA-256, hexadecimal. */
  readonly senders: ReadonlyMap<string, DirectoryEntry>;
  readonly custodians: ReadonlyMap<string, DirectoryEntry>;
}

/** About the message's recipients. */
export function recipientFindings(info: MessageInfo, explained: Explanation): Finding[] {
  const { recipients } = info;
  const all = [...recipients.keys()];
  const places = (is: (recipient: RecipientInfo) => boolean): number[] =>
    all.filter((place) => is(recipients[place] as RecipientInfo));
  const found: Finding[] = [];
  const add = (kind: FindingKind, at: readonly number[], message: string): void => {
    if (at.length > 0) found.push({ kind, message, recipients: at.map((place) => place + 1) });
  };

  const { holders, unknown, unnamed } = explained;
  for (const { holder, places: at } of holders) found.push(...holderFindings(holder, at));
  const sizes = places(({ rsaBits }) => rsaBits !== undefined && rsaBits < LEAST_RSA_BITS);
  const bits = [...new Set(sizes.map((place) => recipients[place]?.rsaBits))].join(", ");
  add("weak-key", sizes, `wrapped for an RSA key of ${bits} bits, and ${LEAST_RSA_BITS} is little`);
  add("weak-wrap", places(isSha1), "wrapped with RSA-OAEP and SHA-1");
  add("weak-wrap", places(isPkcs1), "wrapped with RSA PKCS#1 v1.5");
  for (const at of doubled(recipients, explained)) {
    add("doubled-recipient", at, `${at.length} wrapped keys for one recipient`);
  }
  add("unknown-recipient", unknown, `for keys that nobody here knows: ${ofAll(unknown, all)}`);
  add(
    "unnamed-recipient",
    unnamed,
    `for keys that the format does not name: ${ofAll(unnamed, all)}`,
  );
  add(
    "passphrase",
    places(({ passphrase }) => passphrase === true),
    "whoever has the passphrase opens it",
  );
  return found;
}

/** About the content's protection. */
export function contentFindings({ cipher, authenticated }: MessageInfo): Finding[] {
  if (authenticated !== false) return [];
  return [{ kind: "unauthenticated", message: `encrypted with ${cipher ?? "no authentication"}` }];
}

/**
 * About who signed the message, and who passed it on.
 *
 * @param isDemanded - false: rules say that it need not be signed
 */
export function senderFindings(
  info: MessageInfo,
  known: KnownSenders,
  { nowMs, isDemanded }: { readonly nowMs: number; readonly isDemanded: boolean },
): Finding[] {
  const { signed, sender, cipher } = info;
  if (!signed) {
    if (!isDemanded) return [];
    // Only CMS names a cipher, and only CMS has signatures that the encryption hides.
    const inside = cipher === undefined ? "" : " outside; a signature inside shows on opening";
    return [{ kind: "unsigned", message: `not signed${inside}` }];
  }
  if (sender === undefined) {
    return [{ kind: "unchecked-signature", message: "signed; who signed shows only at its end" }];
  }
  if (sender.signature !== "holds") {
    const message = `claims to be from SHA256:${sender.keyId}, and the signature does not hold`;
    return [{ kind: "bad-signature", message, key: { fingerprint: sender.keyId } }];
  }
  return signerFindings(sender, known, nowMs);
}

/** About whether its recipients are those that were signed, and who passed the message on. */
export function rewrapFindings(
  { sender, passedOn, recordFault }: MessageInfo,
  known: KnownSenders,
  nowMs: number,
): Finding[] {
  if (recordFault !== undefined) return [{ kind: "rewrapped", message: recordFault }];
  if (sender?.signature === "holds" && !sender.recipientsIntact && sender.passedOn === undefined) {
    const message = "the wrapped keys are not the sender's, and no custodian vouches for them";
    return [{ kind: "rewrapped", message }];
  }
  return passedOn === undefined ? [] : custodianFindings(passedOn, known, nowMs);
}

// ── Recipients ──

function holderFindings(holder: Holder, places: readonly number[]): Finding[] {
  const { name, fingerprint, retired, weak } = holder;
  const about = { key: { name, fingerprint }, recipients: places.map((place) => place + 1) };
  const found: Finding[] = [];
  if (retired !== undefined) {
    const message = `sealed to "${name}", whose key ${retired}`;
    found.push({ kind: "retired-key", message, ...about });
  }
  if (weak !== undefined) {
    found.push({ kind: "weak-key", message: `sealed to "${name}": ${weak}`, ...about });
  }
  return found;
}

/** SP 800-131A. */
const LEAST_RSA_BITS = 2048;

function isSha1({ oaep }: RecipientInfo): boolean {
  return oaep === "sha1";
}

function isPkcs1({ type }: RecipientInfo): boolean {
  return type === "rsa-pkcs1";
}

/**
 * Places of wrapped keys that are too many for one recipient. A sealer that doesn't know the hash
 * of an RSA recipient writes two, with SHA-256 and SHA-1, and else one. Which of those for keys
 * that nobody knows belong together, their tags tell, unless they are too short for that.
 */
function doubled(recipients: readonly RecipientInfo[], explained: Explanation): number[][] {
  const named = new Map<string, number[]>();
  for (const place of explained.unknown) {
    const { type, tag = "" } = recipients[place] as RecipientInfo;
    if (tag.length < TELLING_TAG_DIGITS) continue;
    const name = `${type} ${tag}`;
    named.set(name, [...(named.get(name) ?? []), place]);
  }
  const groups = [...explained.holders.map(({ places }) => [...places]), ...named.values()];
  return groups.filter((places) => places.length > 1 && !isHashPair(places, recipients));
}

/** Serial numbers of certificates are unique only among those of one authority. */
const TELLING_TAG_DIGITS = 8;

function isHashPair(places: readonly number[], recipients: readonly RecipientInfo[]): boolean {
  const hashes = places.map((place) => recipients[place]?.oaep);
  return places.length === 2 && hashes.includes("sha256") && hashes.includes("sha1");
}

function ofAll(some: readonly number[], { length }: readonly number[]): string {
  return `${some.length} of ${length} wrapped ${length === 1 ? "key" : "keys"}`;
}

// ── Who signed ──

function signerFindings(sender: ClaimedSender, known: KnownSenders, nowMs: number): Finding[] {
  const { keyId: fingerprint, createdMs } = sender;
  const entry = known.senders.get(fingerprint);
  if (entry === undefined) {
    const message = `signed with SHA256:${fingerprint}, which no known sender has`;
    return [{ kind: "unknown-sender", message, key: { fingerprint } }];
  }
  const limit = senderLimit(entry, createdMs, nowMs);
  if (limit === undefined) return [];
  const key = { name: entry.name, fingerprint };
  return [{ kind: "invalid-sender", message: limit.fact, key }];
}

function custodianFindings(
  { keyId: fingerprint, rewrappedMs }: PassedOn,
  known: KnownSenders,
  nowMs: number,
): Finding[] {
  const entry = known.custodians.get(fingerprint);
  if (entry === undefined) {
    const message = `passed on with SHA256:${fingerprint}, which no known custodian has`;
    return [{ kind: "unknown-custodian", message, key: { fingerprint } }];
  }
  const limit = senderLimit(entry, rewrappedMs, nowMs);
  if (limit === undefined) return [];
  const key = { name: entry.name, fingerprint };
  return [{ kind: "unknown-custodian", message: limit.fact, key }];
}
