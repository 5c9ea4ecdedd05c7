/**
 * RSA-OAEP (RFC 8017 §7.1).
 *
 * The sender's half is `node:crypto`'s, unless MGF1 has a hash of its own. The receiver's half runs
 * on the host where a token does raw RSA and nothing better (the token undoes the exponentiation,
 * `oaepDecode` the padding), and for keys in memory where OpenSSL's would not do.
 */
import { constants, createHash, publicEncrypt, randomBytes, type KeyObject } from "node:crypto";
import { concat, equal } from "../bytes.js";
import type { OaepHash, OaepParameters } from "../keys/key.js";

/** Bytes that OAEP adds: the longest message for a k-byte modulus is `k - oaepOverhead(hash)`. */
export function oaepOverhead(hash: OaepHash): number {
  return 2 * HASH_BYTES[hash] + 2;
}

/** RSAES-OAEP-ENCRYPT (RFC 8017 §7.1.1). The result is as long as the modulus. */
export function oaepEncrypt(
  key: KeyObject,
  message: Uint8Array,
  { hash, mgfHash = hash, label = NO_LABEL }: OaepParameters,
): Uint8Array {
  if (mgfHash === hash) {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    return new Uint8Array(
      publicEncrypt({ key, padding, oaepHash: hash, oaepLabel: label }, message),
    );
  }
  const modulusBytes = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  const em = oaepEncode(message, modulusBytes, { hash, mgfHash, label });
  return new Uint8Array(publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, em));
}

/** EME-OAEP encoding (RFC 8017 §7.1.1 step 2): an encoded message of `length` bytes. */
function oaepEncode(
  message: Uint8Array,
  length: number,
  { hash, mgfHash, label }: Required<OaepParameters>,
): Uint8Array {
  const hashBytes = HASH_BYTES[hash];
  const padding = length - message.length - oaepOverhead(hash);
  if (padding < 0) throw new RangeError("the message is too long for the key");
  const labelHash = createHash(hash).update(label).digest();
  const db = concat(labelHash, new Uint8Array(padding), Uint8Array.of(1), message);
  const seed = new Uint8Array(randomBytes(hashBytes));
  const maskedDb = xor(db, mgf1(seed, db.length, mgfHash));
  const maskedSeed = xor(seed, mgf1(maskedDb, hashBytes, mgfHash));
  return concat(Uint8Array.of(0), maskedSeed, maskedDb);
}

/**
 * EME-OAEP decoding (RFC 8017 §7.1.2 step 3) of an encoded message `em` as long as the modulus.
 *
 * Every fault is the same `null`: telling a wrong first byte from a wrong label hash is the oracle
 * of Manger's attack. The work is the same for every `em` of one length: both masks are always
 * undone, and the scan for the separator always runs to the end without branching on what it sees.
 */
export function oaepDecode(
  em: Uint8Array,
  { hash, mgfHash = hash, label = NO_LABEL }: OaepParameters,
): Uint8Array | null {
  const hashBytes = HASH_BYTES[hash];
  const dbBytes = em.length - hashBytes - 1;
  if (dbBytes < hashBytes + 1) return null;

  const maskedSeed = em.subarray(1, 1 + hashBytes);
  const maskedDb = em.subarray(1 + hashBytes);
  const seed = xor(maskedSeed, mgf1(maskedDb, hashBytes, mgfHash));
  const db = xor(maskedDb, mgf1(seed, dbBytes, mgfHash));

  const labelHash = createHash(hash).update(label).digest();
  let fault = em[0] as number;
  fault |= Number(!equal(db.subarray(0, hashBytes), labelHash));

  // DB = lHash ‖ 00…00 ‖ 01 ‖ M. `looking` is 1 until the first byte that is not zero.
  let looking = 1;
  let start = 0;
  for (let i = hashBytes; i < dbBytes; i++) {
    const byte = db[i] as number;
    const isZero = ((byte - 1) >>> 8) & 1;
    const isOne = (((byte ^ 1) - 1) >>> 8) & 1;
    const found = looking & (isZero ^ 1);
    start |= found * (i + 1);
    fault |= found & (isOne ^ 1);
    looking &= isZero;
  }
  fault |= looking;

  // Not `slice`: if `em` is a Buffer, so is `db`, and its slice would be wiped along with it.
  const message = fault === 0 ? new Uint8Array(db.subarray(start)) : null;
  seed.fill(0);
  db.fill(0);
  return message;
}

/** MGF1 (RFC 8017 §B.2.1): `length` bytes of mask. */
function mgf1(seed: Uint8Array, length: number, hash: OaepHash): Uint8Array {
  const mask = new Uint8Array(length);
  const counter = new Uint8Array(4);
  const view = new DataView(counter.buffer);
  for (let offset = 0, i = 0; offset < length; i++) {
    view.setUint32(0, i);
    const block = createHash(hash).update(seed).update(counter).digest();
    mask.set(block.subarray(0, length - offset), offset);
    offset += block.length;
  }
  return mask;
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] as number));
}

const NO_LABEL = new Uint8Array(0);

const HASH_BYTES: Readonly<Record<OaepHash, number>> = {
  sha1: 20,
  sha256: 32,
  sha384: 48,
  sha512: 64,
};
