/**
 * FLOE: the body of a message as a sequence of sealed segments (C2SP, "FLOE"; ePrint 2025/2275),
 * with AES-256-GCM and HKDF-Expand-SHA-384.
 *
 *     header    parameters 10 ‖ iv 32 ‖ header tag 32
 *     segment   FFFFFFFF ‖ iv 12 ‖ ciphertext ‖ tag 16        exactly `segmentBytes` long
 *     final     length 4 ‖ iv 12 ‖ ciphertext ‖ tag 16        32 … `segmentBytes` long
 * Segments are independent of one another. Sealing or opening one is one call, which depends only
 * on its position and on whether it is the last. The caller (a stream, or a file read in parallel)
 * must get both right, or the construction loses its commitment. So this stays internal, behind
 * drivers that know the total length.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  randomFillSync,
  type KeyObject,
} from "node:crypto";
import { ascii, concat, equal, u32, u64 } from "../bytes.js";
import { AuthenticationError } from "../errors.js";
import { notAuthentic } from "./segment-faults.js";

export const FLOE_HEADER_BYTES = 74;
/** Bytes by which a segment is longer than its plaintext: length field, IV and tag. */
export const SEGMENT_OVERHEAD = 32;
/** How many of these precede the ciphertext. */
const SEGMENT_PREFIX_BYTES = 16;
/** The length field of a segment that is not the last. */
const NOT_FINAL = 0xffff_ffff;
/** FLOE §"Parameters": at most 2^40 segments in a message. */
const MAX_SEGMENTS = 2 ** 40;
const IV_BYTES = 12;
/** Number of IVs fetched at once. */
const IVS = 128;
/**
 * There is a new segment key every 2^20 segments, so that random IVs are very unlikely to collide.
 */
const ROTATION_LOG2 = 20;

/** FLOE's parameters. The test vectors use other values; messages use the defaults. */
export interface FloeParameters {
  /** Bytes of a sealed segment that is not the last. */
  readonly segmentBytes: number;
  readonly rotationLog2?: number;
}

/** The three parts of a sealed segment, in order. They are not joined, to avoid a copy. */
export type SealedSegment = readonly [prefix: Uint8Array, ciphertext: Uint8Array, tag: Uint8Array];

/** The state of a `FloeCipher` in plain values, for another thread. Holds a key. */
export interface FloeState {
  readonly kind: "floe";
  readonly parameters: FloeParameters;
  readonly messageKey: Uint8Array;
  readonly context: FloeContext;
}

/** How long segments are, and how much plaintext a full one holds. */
export function floeSizes(segmentBytes: number): {
  readonly segmentBytes: number;
  readonly plaintextBytes: number;
} {
  return { segmentBytes, plaintextBytes: segmentBytes - SEGMENT_OVERHEAD };
}

/** Seals or opens the segments of one message. */
export class FloeCipher {
  readonly segmentBytes: number;
  readonly #state: FloeState;
  readonly #rotationLog2: number;
  #epoch = -1;
  #key: KeyObject | undefined;
  #ivs: Uint8Array = new Uint8Array(0);

  /** From the state of a cipher that `floeSeal` or `floeOpen` made. */
  constructor(state: FloeState) {
    this.#state = state;
    this.segmentBytes = state.parameters.segmentBytes;
    this.#rotationLog2 = state.parameters.rotationLog2 ?? ROTATION_LOG2;
  }

  /** The state from which another thread makes the same cipher. Holds a key. */
  exportState(): FloeState {
    return this.#state;
  }

  /** Bytes of plaintext in a segment that is not the last. */
  get plaintextBytes(): number {
    return this.segmentBytes - SEGMENT_OVERHEAD;
  }

  /** Seals the plaintext of segment `index`, which is full unless `final`. */
  seal(index: number, final: boolean, plaintext: Uint8Array): SealedSegment {
    if (final ? plaintext.length > this.plaintextBytes : plaintext.length !== this.plaintextBytes) {
      throw new RangeError(`segment ${index}: ${plaintext.length} bytes of plaintext`);
    }
    const prefix = new Uint8Array(SEGMENT_PREFIX_BYTES);
    prefix.set(this.#nextIv(), 4);
    prefix.set(u32(final ? plaintext.length + SEGMENT_OVERHEAD : NOT_FINAL));
    const cipher = createCipheriv("aes-256-gcm", this.#keyFor(index), prefix.subarray(4));
    cipher.setAAD(segmentAad(index, final));
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    return [prefix, ciphertext, cipher.getAuthTag()];
  }

  /** Opens segment `index`; `segment` is all of it. Returns authentic plaintext, or throws. */
  open(index: number, final: boolean, segment: Uint8Array): Uint8Array {
    if (segment.length < SEGMENT_OVERHEAD || segment.length > this.segmentBytes) {
      throw notAuthentic(index);
    }
    if (segmentLength(segment) !== (final ? segment.length : null)) throw notAuthentic(index);
    if (!final && segment.length !== this.segmentBytes) throw notAuthentic(index);
    const tagAt = segment.length - 16;
    const decipher = createDecipheriv("aes-256-gcm", this.#keyFor(index), segment.subarray(4, 16), {
      authTagLength: 16,
    });
    decipher.setAAD(segmentAad(index, final));
    decipher.setAuthTag(segment.subarray(tagAt));
    const plaintext = decipher.update(segment.subarray(SEGMENT_PREFIX_BYTES, tagAt));
    try {
      decipher.final();
    } catch {
      throw notAuthentic(index);
    }
    return plaintext;
  }

  /**
   * Random IVs, fetched by the hundred: asking for twelve bytes takes as long as sealing 50 KiB.
   */
  #nextIv(): Uint8Array {
    if (this.#ivs.length === 0) this.#ivs = randomFillSync(new Uint8Array(IVS * IV_BYTES));
    const iv = this.#ivs.subarray(0, IV_BYTES);
    this.#ivs = this.#ivs.subarray(IV_BYTES);
    return iv;
  }

  #keyFor(index: number): KeyObject {
    if (index >= MAX_SEGMENTS) {
      throw new RangeError("a message has at most 2^40 segments");
    }
    const epoch = Math.floor(index / 2 ** this.#rotationLog2);
    if (this.#key === undefined || epoch !== this.#epoch) {
      const first = u64(epoch * 2 ** this.#rotationLog2);
      const { messageKey, context } = this.#state;
      this.#key = createSecretKey(floeKdf(messageKey, context, concat(ascii("DEK:"), first), 32));
      this.#epoch = epoch;
    }
    return this.#key;
  }
}

/** The length field of a sealed segment: its length if it is the last one, `null` if it is not. */
export function segmentLength(segment: Uint8Array): number | null {
  const field = new DataView(segment.buffer, segment.byteOffset).getUint32(0);
  return field === NOT_FINAL ? null : field;
}

/** Starts a body under `key` (32 bytes), bound to `aad`. */
export function floeSeal(
  key: Uint8Array,
  aad: Uint8Array,
  parameters: FloeParameters,
): { header: Uint8Array; segments: FloeCipher } {
  const context = {
    parameters: encodeParameters(parameters),
    iv: randomFillSync(new Uint8Array(32)),
    aad,
  };
  const header = concat(context.parameters, context.iv, headerTag(key, context));
  return { header, segments: segmentsUnder(key, context, parameters) };
}

/**
 * Checks a body's FLOE header against the key, `aad` and the message's parameters, in constant
 * time, before any segment is touched. Throws `ERR_BODY_HEADER` for any difference.
 */
export function floeOpen(
  key: Uint8Array,
  aad: Uint8Array,
  parameters: FloeParameters,
  header: Uint8Array,
): FloeCipher {
  const context = { parameters: encodeParameters(parameters), iv: header.subarray(10, 42), aad };
  const expected = concat(context.parameters, context.iv, headerTag(key, context));
  if (!equal(header, expected)) {
    throw new AuthenticationError("ERR_BODY_HEADER", "the body does not belong to this message", {
      hint: "the body was altered, or it is the body of another message",
    });
  }
  return segmentsUnder(key, context, parameters);
}

/** The inputs of FLOE_KDF besides a key. */
export interface FloeContext {
  readonly parameters: Uint8Array;
  readonly iv: Uint8Array;
  readonly aad: Uint8Array;
}

/** AEAD_ID 00 (AES-256-GCM) ‖ KDF_ID 00 (HKDF-Expand-SHA-384) ‖ segment and IV lengths. */
function encodeParameters({ segmentBytes }: FloeParameters): Uint8Array {
  return concat(Uint8Array.of(0, 0), u32(segmentBytes), u32(32));
}

function headerTag(key: Uint8Array, context: FloeContext): Uint8Array {
  return floeKdf(key, context, ascii("HEADER_TAG:"), 32);
}

function segmentsUnder(
  key: Uint8Array,
  context: FloeContext,
  parameters: FloeParameters,
): FloeCipher {
  const messageKey = floeKdf(key, context, ascii("MESSAGE_KEY:"), 48);
  return new FloeCipher({ kind: "floe", parameters, messageKey, context });
}

/**
 * FLOE_KDF = HKDF-Expand-SHA-384(key, parameters ‖ iv ‖ purpose ‖ aad, length). For at most
 * 48 bytes, HKDF-Expand is its first block, HMAC(key, info ‖ 01) (RFC 5869 §2.3).
 */
function floeKdf(
  key: Uint8Array,
  { parameters, iv, aad }: FloeContext,
  purpose: Uint8Array,
  length: 32 | 48,
): Uint8Array {
  const block = createHmac("sha384", key)
    .update(parameters)
    .update(iv)
    .update(purpose)
    .update(aad)
    .update(Uint8Array.of(1))
    .digest();
  return block.subarray(0, length);
}

/** Position (64 bits) ‖ 01 for the last segment, 00 for the others. */
function segmentAad(index: number, final: boolean): Uint8Array {
  return concat(u64(index), Uint8Array.of(final ? 1 : 0));
}
