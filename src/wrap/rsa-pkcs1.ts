/**
 * RSAES-PKCS1-v1_5 (RFC 8017 §7.2), for peers that speak nothing else: CryptoAPI's SIMPLEBLOBs.
 * Never what p11seal chooses itself, since whoever learns whether a ciphertext was well formed can
 * decrypt others (Bleichenbacher 1998).
 */
import { constants, publicEncrypt, type KeyObject } from "node:crypto";

/** Bytes that the padding adds at the least: 00 02, eight of PS, 00. */
export const PKCS1_OVERHEAD = 11;

/** RSAES-PKCS1-V1_5-ENCRYPT (RFC 8017 §7.2.1). The result is as long as the modulus. */
export function pkcs1Encrypt(key: KeyObject, message: Uint8Array): Uint8Array {
  return new Uint8Array(publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, message));
}

/**
 * EME-PKCS1-v1_5 decoding (RFC 8017 §7.2.2 step 3) of 00 02 PS 00 M, PS at least 8 bytes without a
 * zero. Every fault is the same `null`, and the scan always runs to the end without branching on
 * what it sees.
 */
export function pkcs1Decode(em: Uint8Array): Uint8Array | null {
  let fault = em[0] as number;
  fault |= (em[1] as number) ^ 2;
  // `looking` is 1 until the first zero byte after the type; M starts behind it.
  let looking = 1;
  let start = 0;
  for (let i = 2; i < em.length; i++) {
    const isZero = (((em[i] as number) - 1) >>> 8) & 1;
    start |= (looking & isZero) * (i + 1);
    looking &= isZero ^ 1;
  }
  fault |= looking;
  fault |= ((start - (2 + MIN_PADDING_BYTES + 1)) >>> 31) & 1;
  // Not `slice`: a Buffer's is no copy.
  const message = new Uint8Array(em.subarray(start));
  if (fault === 0) return message;
  message.fill(0);
  return null;
}

const MIN_PADDING_BYTES = 8;
