/**
 * How CMS gets from the secret that two keys agree on to the content key: a key-encryption key
 * derived from it (RFC 5753 §7.2 for the X9.63 function, RFC 8418 §2 for HKDF), and AES Key Wrap
 * under that (RFC 3394).
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, type Decipher } from "node:crypto";
import { der, TAG } from "../asn1/der.js";
import { concat, concatAll, u32 } from "../bytes.js";
import type { OaepHash } from "../keys/key.js";

/** How the key-encryption key is derived. */
export interface KekDerivation {
  readonly kdf: "x963" | "hkdf";
  readonly hash: OaepHash;
}

/** What the key-encryption key is for, and tied to. */
export interface KekPurpose {
  /** The key wrap's AlgorithmIdentifier as it stands in the message, DER. */
  readonly wrapAlgorithm: Uint8Array;
  /** Length of the key-encryption key, bytes. */
  readonly kekBytes: 16 | 24 | 32;
  /** The sender's user keying material. */
  readonly ukm?: Uint8Array | undefined;
}

/** The key-encryption key of the agreed secret, which is left as it is. */
export function deriveKek(
  shared: Uint8Array,
  { kdf, hash }: KekDerivation,
  purpose: KekPurpose,
): Uint8Array {
  const info = sharedInfo(purpose);
  return kdf === "x963"
    ? x963(shared, hash, info, purpose.kekBytes)
    : new Uint8Array(hkdfSync(hash, shared, NO_SALT, info, purpose.kekBytes));
}

/** ECC-CMS-SharedInfo (RFC 5753 §7.2), DER. */
export function sharedInfo({ wrapAlgorithm, kekBytes, ukm }: KekPurpose): Uint8Array {
  return der(
    TAG.sequence,
    wrapAlgorithm,
    ...(ukm === undefined ? [] : [der(ENTITY_U_INFO, der(TAG.octetString, ukm))]),
    der(SUPP_PUB_INFO, der(TAG.octetString, u32(8 * kekBytes))),
  );
}

const ENTITY_U_INFO = 0xa0;
const SUPP_PUB_INFO = 0xa2;

/** The key derivation function of ANSI X9.63 (SEC 1 §3.6.1). */
function x963(shared: Uint8Array, hash: OaepHash, info: Uint8Array, length: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let filled = 0; filled < length;) {
    const counter = u32(blocks.length + 1);
    const block = createHash(hash).update(shared).update(counter).update(info).digest();
    blocks.push(block);
    filled += block.length;
  }
  const key = concatAll(blocks).slice(0, length);
  for (const block of blocks) block.fill(0);
  return key;
}

// ── AES Key Wrap ──

/** `key`, 16 bytes or more and a multiple of 8, under `kek`: 8 bytes longer. Overwrites `kek`. */
export function aesKeyWrap(kek: Uint8Array, key: Uint8Array): Uint8Array {
  const cipher = createCipheriv(cipherOf(kek), kek, INITIAL_VALUE);
  const wrapped = concat(cipher.update(key), cipher.final());
  kek.fill(0);
  return wrapped;
}

/** The key; `null` if it was not wrapped under `kek`, which is overwritten. */
export function aesKeyUnwrap(kek: Uint8Array, wrapped: Uint8Array): Uint8Array | null {
  return unwrapped(createDecipheriv(cipherOf(kek), kek, INITIAL_VALUE), kek, wrapped);
}

// ── Triple DES Key Wrap ──

/**
 * A triple DES key out of what old messages wrapped it with (RFC 3217 §3.2); `null` if it was not
 * wrapped under `kek`, 24 bytes, which is overwritten.
 */
export function desKeyUnwrap(kek: Uint8Array, wrapped: Uint8Array): Uint8Array | null {
  return unwrapped(createDecipheriv("des3-wrap", kek, null), kek, wrapped);
}

function unwrapped(decipher: Decipher, kek: Uint8Array, wrapped: Uint8Array): Uint8Array | null {
  try {
    return concat(decipher.update(wrapped), decipher.final());
  } catch {
    return null;
  } finally {
    kek.fill(0);
  }
}

function cipherOf(kek: Uint8Array): string {
  return `id-aes${8 * kek.length}-wrap`;
}

/** RFC 3394 §2.2.3.1. */
const INITIAL_VALUE = new Uint8Array(8).fill(0xa6);
const NO_SALT = new Uint8Array(0);
