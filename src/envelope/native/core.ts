/**
 * CORE: the message's own description, in the clear and permanent (docs/format.md §4). It is bound
 * into the body's key schedule: if it is changed, the body is unreadable. Re-wrapping does not
 * touch it.
 *
 * An unsigned message holds only its id. Time, serial, sender and addressees would be claims that
 * nobody vouches for, and metadata for whoever finds the file.
 */
import { defined } from "../../defined.js";
import { CborMap, encodeMap, FIRST_OTHER_KEY, requireDeterministic } from "./cbor-map.js";
import { malformed } from "./malformed.js";

/** What a signed message holds besides, all of it covered by the sender's signature. */
export interface SignedClaims {
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly createdMs: number;
  /** Milliseconds since 1970-01-01T00:00Z; if absent, the message does not expire. */
  readonly expiresMs?: number;
  /** SHA-256 of the sender's SPKI, 32 bytes. */
  readonly senderKeyId: Uint8Array;
  /** 16 bytes: which of the sender's counters `serial` comes from. */
  readonly streamId: Uint8Array;
  readonly serial: number;
  /** One 32-byte tag per recipient key, in the order of sealing. */
  readonly addressees: readonly Uint8Array[];
  /** Raw Ed25519 public key, 32 bytes; its private key signs this body only. */
  readonly oneTimeKey: Uint8Array;
  /** SHA-256 of the RECIPS block as the sender wrote it, 32 bytes. */
  readonly recipsHash: Uint8Array;
  /** SHA-256 of the rules that the sender sealed under, 32 bytes. */
  readonly rulesHash?: Uint8Array;
}

export interface Core {
  /** 16 random bytes. */
  readonly messageId: Uint8Array;
  readonly claims?: SignedClaims;
  /** What later versions add, by key (64 and up): byte strings, kept but not interpreted. */
  readonly others?: ReadonlyMap<number, Uint8Array>;
}

/** Longest CORE, bytes. */
export const MAX_CORE_BYTES = 65_536;
/** Most recipients of a message. */
export const MAX_RECIPIENTS = 1024;
/** Readers of before it was assigned skip it. */
const RULES_HASH = FIRST_OTHER_KEY;

export function encodeCore(core: Core): Uint8Array {
  const map = new Map<number, unknown>([[1, core.messageId]]);
  if (core.claims !== undefined) {
    const { claims } = core;
    map.set(2, claims.createdMs);
    if (claims.expiresMs !== undefined) map.set(3, claims.expiresMs);
    map.set(4, claims.senderKeyId).set(5, claims.streamId).set(6, claims.serial);
    map.set(7, claims.addressees).set(8, claims.oneTimeKey).set(9, claims.recipsHash);
    if (claims.rulesHash !== undefined) map.set(RULES_HASH, claims.rulesHash);
  }
  for (const [key, value] of core.others ?? []) map.set(key, value);
  return encodeMap(map);
}

/**
 * Strict: accepts only the one encoding of the value, each key with its type, and below 64 only the
 * keys known here.
 */
export function parseCore(bytes: Uint8Array, signed: boolean): Core {
  const core = coreOf(new CborMap(bytes, "core", malformed), signed);
  requireDeterministic(encodeCore(core), bytes, "core", malformed);
  return core;
}

function coreOf(map: CborMap, signed: boolean): Core {
  const others = map.others(signed ? 9 : 1);
  const messageId = map.bytes(1, 16);
  if (!signed) return { messageId, ...kept(others) };

  const expiresMs = map.has(3) ? map.uint(3) : undefined;
  const rulesHash = map.has(RULES_HASH) ? map.bytes(RULES_HASH, 32) : undefined;
  others.delete(RULES_HASH);
  return {
    messageId,
    claims: {
      createdMs: map.uint(2),
      ...defined({ expiresMs }),
      senderKeyId: map.bytes(4, 32),
      streamId: map.bytes(5, 16),
      serial: map.uint(6),
      addressees: map.tags(7, MAX_RECIPIENTS),
      oneTimeKey: map.bytes(8, 32),
      recipsHash: map.bytes(9, 32),
      ...defined({ rulesHash }),
    },
    ...kept(others),
  };
}

function kept(others: ReadonlyMap<number, Uint8Array>): Pick<Core, "others"> {
  return others.size === 0 ? {} : { others };
}
