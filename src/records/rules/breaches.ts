/**
 * What breaks the rules: in a message that is about to be sealed, and in one that is there. Of a
 * sealed message only what its header shows can be judged: a stanza is known by the keys that
 * might match it, and that the right stanza wraps the right key only its holder can tell.
 */
import { toHex } from "../../bytes.js";
import type { ExchangePublicKey, OaepHash, Recipient } from "../../keys/key.js";
import { formatDuration } from "../duration.js";
import { has, type Governance } from "./governance.js";
import type { RuledKey, RuledKeys } from "./ruled-keys.js";
import type { Limits, RuleCurve } from "./rules-format.js";

export interface Breach {
  /**
   * `missing`: a key that must be a recipient is none. `excluded`: a recipient that the rules don't
   * allow. `unsigned`, `sender`: nobody signed, or somebody who may not. `weak`, `oaep`, `old`: a
   * recipient's key or its use.
   */
  readonly kind: "missing" | "excluded" | "unsigned" | "sender" | "weak" | "oaep" | "old";
  /** In a few words, lower case. */
  readonly fact: string;
  /** The key that it is about, if it is known. */
  readonly key?: RuledKey;
}

/** A recipient of a sealed message, as an envelope shows it. */
export interface ShownRecipient {
  readonly type: string;
  /** How the message names the key; absent where it does not. */
  readonly tag?: string;
  readonly oaep?: OaepHash;
  /** Whether it may be wrapped for this key. */
  matches(publicKey: ExchangePublicKey, certificates?: readonly Uint8Array[]): boolean;
}

/** What is wrong with sealing to a key, whoever asks for it. */
export function recipientBreaches(
  rules: Governance,
  { publicKey, certificate }: Recipient,
  keys: RuledKeys,
  nowMs: number,
): Breach[] {
  const key = { fingerprint: toHex(publicKey.fingerprint) };
  const named = keysIn(rules).find((one) => has([key], one));
  const sinceMs = named?.sinceMs ?? keys.sinceMs({ publicKey, certificate });
  const found: Breach[] = [...weaknesses(rules, publicKey), ...ageOf(rules, sinceMs, nowMs)];
  if (rules.only !== undefined && !has(rules.only, key)) {
    found.push({ kind: "excluded", fact: "the rules allow only others as recipients" });
  }
  return found;
}

/**
 * The hash for an RSA recipient; undefined: the rules leave it to the sender's defaults, or the key
 * is not RSA.
 *
 * @param wanted - the sender's choice, or what the format has
 */
export function oaepUnder(
  { oaep: allowed }: Governance,
  { publicKey, oaep: recorded }: Recipient,
  wanted: OaepHash | undefined,
): { readonly oaep?: OaepHash; readonly breach?: Breach } {
  if (allowed === undefined || publicKey.type !== "rsa") return {};
  const oaep = wanted ?? recorded ?? allowed[0];
  if (oaep !== undefined && allowed.includes(oaep)) return { oaep };
  const fact = `the rules allow OAEP with ${allowed.join(", ")} only, not ${oaep ?? "any"}`;
  return { breach: { kind: "oaep", fact } };
}

/**
 * What a message's header shows to break the rules.
 *
 * @param keys - all keys that recipients may be known by, besides those of the rules
 */
export function headerBreaches(
  rules: Governance,
  recipients: readonly ShownRecipient[],
  keys: readonly RuledKey[],
  nowMs: number,
): Breach[] {
  const isFor = (shown: ShownRecipient, { recipient, certificates }: RuledKey): boolean =>
    recipient !== undefined && shown.matches(recipient.publicKey, certificates);
  const found: Breach[] = [];
  for (const key of rules.always) {
    if (recipients.some((shown) => isFor(shown, key))) continue;
    const unknown = key.recipient === undefined ? `; ${key.problem ?? "its key is not known"}` : "";
    found.push({
      kind: "missing",
      key,
      fact: `"${key.name}" is not among its recipients${unknown}`,
    });
  }
  const { only } = rules;
  const strangers = only === undefined ? 0 : strangersAmong(recipients, only, isFor);
  if (strangers > 0) {
    const who = strangers === 1 ? "a recipient" : `${strangers} recipients`;
    found.push({ kind: "excluded", fact: `it has ${who} whom the rules don't allow` });
  }
  for (const { oaep } of recipients) {
    if (oaep === undefined || rules.oaep?.includes(oaep) !== false) continue;
    found.push({ kind: "oaep", fact: `a key is wrapped with OAEP and ${oaep}` });
  }
  const { minRsaBits, curves, maxAgeMs } = rules;
  if ([minRsaBits, curves, maxAgeMs].every((limit) => limit === undefined)) return found;
  const known = allKeys(rules, keys);
  for (const shown of recipients) {
    // Where a stanza may be for several keys, none of them is to blame.
    const [key, ...others] = known.filter((one) => isFor(shown, one));
    if (shown.tag === undefined || key?.recipient === undefined || others.length > 0) continue;
    const { publicKey } = key.recipient;
    const faults = [...weaknesses(rules, publicKey), ...ageOf(rules, key.sinceMs, nowMs)];
    for (const { kind, fact } of faults) {
      if (found.some((one) => one.kind === kind && one.key === key)) continue;
      found.push({ kind, key, fact: `"${key.name}": ${fact}` });
    }
  }
  return found;
}

/**
 * How many recipients are none of those allowed. One whom the format does not name may be any that
 * has such a key; but of more than there are such keys, some are strangers.
 */
function strangersAmong(
  recipients: readonly ShownRecipient[],
  only: readonly RuledKey[],
  isFor: (shown: ShownRecipient, key: RuledKey) => boolean,
): number {
  const allowed = recipients.filter((shown) => only.some((key) => isFor(shown, key)));
  const unnamed = allowed.filter(({ tag }) => tag === undefined);
  const able = only.filter((key) => unnamed.some((shown) => isFor(shown, key)));
  return recipients.length - allowed.length + Math.max(0, unnamed.length - able.length);
}

/** @param sender - whose signature holds; undefined: nobody's */
export function senderBreaches(
  rules: Governance,
  sender: { readonly keyId: string } | undefined,
): Breach[] {
  if (!rules.signed) return [];
  if (sender === undefined) return [{ kind: "unsigned", fact: "it is not signed" }];
  const { senders } = rules;
  if (senders === undefined || has(senders, { fingerprint: sender.keyId })) return [];
  const names = senders.map(({ name }) => name).join(", ");
  return [{ kind: "sender", fact: `it is signed by SHA256:${sender.keyId}, not by ${names}` }];
}

// ── Details ──

function keysIn({ to, always, only = [] }: Governance): readonly RuledKey[] {
  return [...always, ...to, ...only];
}

/** Each key once: as the rules name it, or else as the directory does. */
function allKeys(rules: Governance, known: readonly RuledKey[]): readonly RuledKey[] {
  const all = new Map<string, RuledKey>();
  for (const key of [...keysIn(rules), ...known]) {
    if (!all.has(key.fingerprint)) all.set(key.fingerprint, key);
  }
  return [...all.values()];
}

function weaknesses({ minRsaBits, curves }: Limits, publicKey: ExchangePublicKey): Breach[] {
  if (publicKey.type === "rsa") {
    if (minRsaBits === undefined || publicKey.bits >= minRsaBits) return [];
    const fact = `RSA key has ${publicKey.bits} bits, the rules demand ${minRsaBits}`;
    return [{ kind: "weak", fact }];
  }
  const curve = curveOf(publicKey);
  if (curves === undefined || curves.includes(curve)) return [];
  return [{ kind: "weak", fact: `the key is on ${curve}, the rules allow ${curves.join(", ")}` }];
}

function curveOf(publicKey: Exclude<ExchangePublicKey, { type: "rsa" }>): RuleCurve {
  const half = publicKey.type === "hybrid" ? publicKey.dh : publicKey;
  return half.type === "ec" ? half.curve : "X25519";
}

function ageOf({ maxAgeMs }: Limits, sinceMs: number | undefined, nowMs: number): Breach[] {
  if (maxAgeMs === undefined) return [];
  const most = formatDuration(maxAgeMs);
  if (sinceMs === undefined) {
    const fact = `nothing says how old the key is, and the rules allow ${most}`;
    return [{ kind: "old", fact }];
  }
  const ageMs = nowMs - sinceMs;
  if (ageMs <= maxAgeMs) return [];
  return [
    { kind: "old", fact: `the key is ${formatDuration(ageMs)} old, the rules allow ${most}` },
  ];
}
