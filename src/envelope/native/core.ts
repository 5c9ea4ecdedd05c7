/**
 * CORE: the message's own description, in the clear and permanent (docs/format.md §4). It is a map
 * in deterministic CBOR (RFC 8949 §4.2.1) with integer keys. It is bound into the body's key
 * schedule: if it is changed, the body is unreadable. Re-wrapping does not touch it.
 *
 * An unsigned message holds only its id. Time, serial, sender and addressees would be claims that
 * nobody vouches for, and metadata for whoever finds the file.
 */
import { defined } from "../../defined.js";
import { decode, encode } from "cborg";
import { equal } from "../../bytes.js";
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
/** Keys below this have the meanings above; from here on they belong to later versions. */
const FIRST_OTHER_KEY = 64;

export function encodeCore(core: Core): Uint8Array {
  const map = new Map<number, unknown>([[1, core.messageId]]);
  if (core.claims !== undefined) {
    const { claims } = core;
    map.set(2, claims.createdMs);
    if (claims.expiresMs !== undefined) map.set(3, claims.expiresMs);
    map.set(4, claims.senderKeyId).set(5, claims.streamId).set(6, claims.serial);
    map.set(7, claims.addressees).set(8, claims.oneTimeKey).set(9, claims.recipsHash);
  }
  for (const [key, value] of core.others ?? []) map.set(key, value);
  return encode(map);
}

/**
 * Strict: accepts only the one encoding of the value, each key with its type, and below 64 only the
 * keys known here. Values from key 64 on must be byte strings. So nested values are never decoded;
 * CBOR libraries disagree on which encodings of those are deterministic.
 */
export function parseCore(bytes: Uint8Array, signed: boolean): Core {
  const core = coreOf(decodeMap(bytes), signed);
  // The decoder accepts any order of keys, and floats as integers; encoding again does not.
  if (!equal(encodeCore(core), bytes)) throw malformed("core is not deterministic CBOR");
  return core;
}

function coreOf(map: ReadonlyMap<unknown, unknown>, signed: boolean): Core {
  const others = othersOf(map, signed ? 9 : 1);
  const messageId = bytesOf(map, 1, 16);
  if (!signed) return { messageId, ...others };

  const expiresMs = map.has(3) ? uintOf(map, 3) : undefined;
  return {
    messageId,
    claims: {
      createdMs: uintOf(map, 2),
      ...defined({ expiresMs }),
      senderKeyId: bytesOf(map, 4, 32),
      streamId: bytesOf(map, 5, 16),
      serial: uintOf(map, 6),
      addressees: addresseesOf(map),
      oneTimeKey: bytesOf(map, 8, 32),
      recipsHash: bytesOf(map, 9, 32),
    },
    ...others,
  };
}

function decodeMap(bytes: Uint8Array): ReadonlyMap<unknown, unknown> {
  let value: unknown;
  try {
    value = decode(bytes, {
      strict: true,
      useMaps: true,
      allowIndefinite: false,
      allowUndefined: false,
      allowInfinity: false,
      allowNaN: false,
      allowBigInt: false,
      rejectDuplicateMapKeys: true,
    });
  } catch {
    throw malformed("core is not CBOR");
  }
  if (!(value instanceof Map)) throw malformed("core is not a map");
  return value;
}

/** The entries from key 64 on. Below 64 only the known keys, up to `lastKnown`, are allowed. */
function othersOf(
  map: ReadonlyMap<unknown, unknown>,
  lastKnown: number,
): { others?: ReadonlyMap<number, Uint8Array> } {
  const others = new Map<number, Uint8Array>();
  for (const [key, value] of map) {
    if (typeof key !== "number" || !Number.isSafeInteger(key) || key < 1) {
      throw malformed("core: key");
    }
    if (key <= lastKnown) continue;
    if (key < FIRST_OTHER_KEY) throw malformed(`core: unknown key ${key}`);
    if (!(value instanceof Uint8Array)) throw malformed(`core: ${key}`);
    others.set(key, value);
  }
  return others.size === 0 ? {} : { others };
}

function bytesOf(map: ReadonlyMap<unknown, unknown>, key: number, length: number): Uint8Array {
  const value = map.get(key);
  if (!(value instanceof Uint8Array) || value.length !== length) throw malformed(`core: ${key}`);
  return value;
}

function uintOf(map: ReadonlyMap<unknown, unknown>, key: number): number {
  const value = map.get(key);
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw malformed(`core: ${key}`);
  }
  return value;
}

function addresseesOf(map: ReadonlyMap<unknown, unknown>): Uint8Array[] {
  const value = map.get(7);
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_RECIPIENTS) {
    throw malformed("core: 7");
  }
  return value.map((tag: unknown) => {
    if (!(tag instanceof Uint8Array) || tag.length !== 32) throw malformed("core: 7");
    return tag;
  });
}
