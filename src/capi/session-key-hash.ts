/**
 * `CryptHashSessionKey`: a hash over session keys and data, as the three-phase exchange and
 * signatures over keys use it. And `CryptDeriveKey`: a session key out of a hash.
 */
import { createHash } from "node:crypto";
import { concatAll } from "../bytes.js";
import { UsageError } from "../errors.js";
import { Secret } from "../secret.js";
import {
  ALGORITHMS,
  type CapiHash,
  fitsAlgorithm,
  type SessionAlgorithm,
  type SessionKey,
} from "./algorithms.js";
import { reversed } from "../keys/formats/little-endian.js";
import { DIGEST_BYTES } from "./hash-signature.js";

/** What goes into a hash: data (`CryptHashData`), or a key (`CryptHashSessionKey`). */
export type HashPart =
  | Uint8Array
  | {
      readonly key: Secret;
      /** CRYPT_LITTLE_ENDIAN: the key in the cipher's order. By default it is reversed. */
      readonly littleEndian?: boolean;
    };

/** The hash of the parts, in their order. A salt is no part of a key here. */
export function hashParts(hash: CapiHash, parts: readonly HashPart[]): Uint8Array {
  const state = createHash(hash);
  for (const part of parts) {
    if (part instanceof Uint8Array) {
      state.update(part);
    } else if (part.littleEndian === true) {
      state.update(part.key.expose());
    } else {
      const key = reversed(part.key.expose());
      state.update(key);
      key.fill(0);
    }
  }
  return new Uint8Array(state.digest());
}

/**
 * `CryptDeriveKey`: the session key of base data such as a password. One round of a hash is no
 * password hash: whoever has the message can try millions of passwords a second.
 *
 * @param data - what `CryptHashData` was given; of a password, its bytes as the peer stored them.
 * @param keyBits - for RC2 and RC4.
 * @throws UsageError `ERR_KEY_LENGTH`: a length that the algorithm or the hash can't give.
 */
export function deriveSessionKey(
  algorithm: SessionAlgorithm,
  hash: CapiHash,
  data: Uint8Array,
  keyBits?: number,
): SessionKey {
  const length = keyBits === undefined ? ALGORITHMS[algorithm].newKeyBytes : keyBits / 8;
  const stretched = STRETCHED.has(algorithm) && (hash === "sha1" || hash === "md5");
  const available = DIGEST_BYTES[hash] * (stretched ? 2 : 1);
  if (!Number.isInteger(length) || !fitsAlgorithm(algorithm, length) || length > available) {
    throw new UsageError(
      "ERR_KEY_LENGTH",
      `no ${algorithm} key of ${8 * length} bits can be derived with ${hash}`,
    );
  }
  const value = new Uint8Array(createHash(hash).update(data).digest());
  const source = stretched ? stretch(hash, value) : value;
  const bytes = source.slice(0, length);
  value.fill(0);
  source.fill(0);
  return { algorithm, bytes: new Secret(bytes) };
}

/**
 * The CryptDeriveKey page, steps 1 to 5: H(36…36 ⊕ value) ‖ H(5c…5c ⊕ value). The pads
 * have 64 bytes each.
 */
function stretch(hash: CapiHash, value: Uint8Array): Uint8Array {
  const halves = [0x36, 0x5c].map((pad) => {
    const buffer = new Uint8Array(64).fill(pad);
    value.forEach((byte, index) => (buffer[index] = byte ^ pad));
    return createHash(hash).update(buffer).digest();
  });
  return concatAll(halves);
}

/** With SHA-1 and MD5 these are stretched even where the hash value would be long enough. */
const STRETCHED: ReadonlySet<SessionAlgorithm> = new Set([
  "aes128",
  "aes192",
  "aes256",
  "3des",
  "3des112",
]);
