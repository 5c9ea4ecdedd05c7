/**
 * CryptoAPI's algorithms: their numbers (`ALG_ID`, wincrypt.h), key and block lengths, and the
 * session key that goes with them. One table; everything that differs between ciphers is read from
 * it.
 */
import { randomBytes } from "node:crypto";
import { UnsupportedError, UsageError } from "../errors.js";
import { hexId } from "../keys/formats/capi-blob.js";
import { Secret } from "../secret.js";

/** The ciphers of the Microsoft providers. `3des112` is triple DES with two keys. */
export type SessionAlgorithm =
  "aes128" | "aes192" | "aes256" | "3des" | "3des112" | "des" | "rc2" | "rc4";

/** A key for messages: what a SIMPLEBLOB carries. The bytes are in the cipher's own order. */
export interface SessionKey {
  readonly algorithm: SessionAlgorithm;
  readonly bytes: Secret;
}

export interface AlgorithmFacts {
  /** `CALG_…`. */
  readonly id: number;
  /** Shortest and longest key, bytes; DES keys with their parity bits. */
  readonly keyBytes: readonly [least: number, most: number];
  /** What a new key has, bytes. */
  readonly newKeyBytes: number;
  /** 0 for a stream cipher. */
  readonly blockBytes: 0 | 8 | 16;
  /** No new message should be encrypted with it. */
  readonly weak: boolean;
}

/** Hashes a signature, a key or a phase may be made of; those for new signatures first. */
export type CapiHash = "sha256" | "sha384" | "sha512" | "sha1" | "md5";

export const ALGORITHMS: Readonly<Record<SessionAlgorithm, AlgorithmFacts>> = {
  aes128: { id: 0x660e, keyBytes: [16, 16], newKeyBytes: 16, blockBytes: 16, weak: false },
  aes192: { id: 0x660f, keyBytes: [24, 24], newKeyBytes: 24, blockBytes: 16, weak: false },
  aes256: { id: 0x6610, keyBytes: [32, 32], newKeyBytes: 32, blockBytes: 16, weak: false },
  // Blocks of 64 bits: SP 800-131A disallows encrypting with it since 2024.
  "3des": { id: 0x6603, keyBytes: [24, 24], newKeyBytes: 24, blockBytes: 8, weak: true },
  "3des112": { id: 0x6609, keyBytes: [16, 16], newKeyBytes: 16, blockBytes: 8, weak: true },
  des: { id: 0x6601, keyBytes: [8, 8], newKeyBytes: 8, blockBytes: 8, weak: true },
  // The providers' range: 40 bits, of the export rules' days, to 128.
  rc2: { id: 0x6602, keyBytes: [5, 16], newKeyBytes: 16, blockBytes: 8, weak: true },
  rc4: { id: 0x6801, keyBytes: [5, 16], newKeyBytes: 16, blockBytes: 0, weak: true },
};

export const SESSION_ALGORITHMS = Object.keys(ALGORITHMS) as readonly SessionAlgorithm[];

/** The algorithm of an `ALG_ID`. Throws UnsupportedError `ERR_ALGORITHM`. */
export function algorithmOf(id: number): SessionAlgorithm {
  const found = SESSION_ALGORITHMS.find((name) => ALGORITHMS[name].id === id);
  if (found !== undefined) return found;
  throw new UnsupportedError("ERR_ALGORITHM", `no session key algorithm has ALG_ID ${hexId(id)}`, {
    hint: `known: ${SESSION_ALGORITHMS.join(", ")}`,
  });
}

/** True when a key of `length` bytes can be one of the algorithm's. */
export function fitsAlgorithm(algorithm: SessionAlgorithm, length: number): boolean {
  const [least, most] = ALGORITHMS[algorithm].keyBytes;
  return length >= least && length <= most;
}

/**
 * A random session key, as `CryptGenKey` makes one.
 *
 * @param keyBits - for RC2 and RC4, 40 to 128 in steps of 8; the others have one length.
 * @throws UsageError `ERR_KEY_LENGTH`.
 */
export function generateSessionKey(algorithm: SessionAlgorithm, keyBits?: number): SessionKey {
  const length = keyBits === undefined ? ALGORITHMS[algorithm].newKeyBytes : keyBits / 8;
  if (!Number.isInteger(length) || !fitsAlgorithm(algorithm, length)) {
    throw new UsageError("ERR_KEY_LENGTH", `${algorithm} has no keys of ${keyBits ?? 0} bits`);
  }
  const bytes = new Uint8Array(randomBytes(length));
  if (algorithm === "des" || algorithm === "3des" || algorithm === "3des112") setParity(bytes);
  return { algorithm, bytes: new Secret(bytes) };
}

/** FIPS 46-3: each byte has an odd number of ones. Ciphers ignore it, some peers check it. */
function setParity(key: Uint8Array): void {
  key.forEach((byte, index) => {
    let ones = 0;
    for (let rest = byte >>> 1; rest > 0; rest >>>= 1) ones ^= rest & 1;
    key[index] = (byte & 0xfe) | (ones ^ 1);
  });
}
