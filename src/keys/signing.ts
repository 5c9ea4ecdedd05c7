/**
 * Signatures over messages, and the one place that says which algorithm goes with which key.
 *
 * The algorithm follows from the key, so that nobody can choose a weaker one for it. Its number is
 * in the message all the same, and must agree (docs/format.md, "SIG").
 */
import { constants, createHash, sign, verify, type KeyObject } from "node:crypto";
import { UnsupportedError } from "../errors.js";
import type { PublicKey, RsaPublicKey, SigningPublicKey } from "./key.js";
import { bitLength, HYBRID_PARTS, rsaNumbers } from "./public-key.js";

/** One way to sign. `hash` is what the message is hashed with before a token's raw operation. */
export interface SignatureAlgorithm {
  /** Its number in messages. */
  readonly number: 1 | 2 | 3 | 4;
  readonly name: string;
  readonly hash: "sha256" | "sha384" | null;
}

/** What an RSA key that signs messages has at least and at most, bits (docs/format.md §5.1). */
const MIN_RSA_BITS = 1024;
const MAX_RSA_BITS = 8192;
const MAX_RSA_EXPONENT_BITS = 32;

/** RSASSA-PSS salt, bytes: as long as the hash (RFC 8017 §9.1). */
export const PSS_SALT_BYTES = 32;

/**
 * The one algorithm that a key signs messages with. RSA keys are bounded in size and exponent,
 * since whoever sends a message chooses the key that its reader spends time on, before they are
 * known.
 *
 * @throws UnsupportedError `ERR_SIGNING_KEY` for keys that can't sign messages, `ERR_KEY_SIZE` for
 *   RSA outside 1,024 to 8,192 bits or with a public exponent of more than 32 bits
 */
export function signatureAlgorithm(key: PublicKey): SignatureAlgorithm {
  if (key.type === "ed25519") return ED25519;
  if (key.type === "rsa") {
    requireBounded(key);
    return RSA_PSS;
  }
  if (key.type === "ec" && key.curve === "P-256") return ECDSA_P256;
  if (key.type === "ec" && key.curve === "P-384") return ECDSA_P384;
  const kind =
    key.type === "ec" ? key.curve : key.type === "hybrid" ? HYBRID_PARTS[key.kem].name : "X25519";
  throw new UnsupportedError("ERR_SIGNING_KEY", `messages can't be signed with a ${kind} key`, {
    hint: "sign with ECDSA P-256 or P-384, RSA, or Ed25519",
  });
}

function requireBounded(key: RsaPublicKey): void {
  if (key.bits < MIN_RSA_BITS || key.bits > MAX_RSA_BITS) {
    throw new UnsupportedError(
      "ERR_KEY_SIZE",
      `RSA key has ${key.bits} bits; ${MIN_RSA_BITS} to ${MAX_RSA_BITS} can sign messages`,
    );
  }
  const exponentBits = bitLength(rsaNumbers(key).exponent);
  if (exponentBits > MAX_RSA_EXPONENT_BITS) {
    throw new UnsupportedError(
      "ERR_KEY_SIZE",
      `RSA public exponent has ${exponentBits} bits; at most ${MAX_RSA_EXPONENT_BITS} can sign messages`,
    );
  }
}

/** True when `signature` is `key`'s over `message`. */
export function verifySignature(
  key: SigningPublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { hash } = signatureAlgorithm(key);
  if (signature.length !== signatureBytes(key)) return false;
  try {
    return verify(hash, message, nodeKey(key, key.object), signature);
  } catch {
    return false;
  }
}

/** Signs with a private key in memory. */
export function signInMemory(
  key: SigningPublicKey,
  privateKey: KeyObject,
  message: Uint8Array,
): Uint8Array {
  return sign(signatureAlgorithm(key).hash, message, nodeKey(key, privateKey));
}

/** What a token that only signs digests is given: the message's hash. */
export function messageDigest(key: SigningPublicKey, message: Uint8Array): Uint8Array {
  const { hash } = signatureAlgorithm(key);
  return hash === null ? message : createHash(hash).update(message).digest();
}

/** Every signature of a key has the same length, bytes. */
export function signatureBytes(key: SigningPublicKey): number {
  if (key.type === "rsa") return key.modulus.length;
  return key.type === "ec" && key.curve === "P-384" ? 96 : 64;
}

/** The key with the parameters node:crypto wants for it. */
function nodeKey(publicKey: SigningPublicKey, key: KeyObject) {
  switch (publicKey.type) {
    case "rsa":
      return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: PSS_SALT_BYTES };
    case "ec":
      return { key, dsaEncoding: "ieee-p1363" as const };
    case "ed25519":
      return { key };
  }
}

const ECDSA_P256: SignatureAlgorithm = { number: 1, name: "ECDSA P-256", hash: "sha256" };
const ECDSA_P384: SignatureAlgorithm = { number: 2, name: "ECDSA P-384", hash: "sha384" };
const RSA_PSS: SignatureAlgorithm = { number: 3, name: "RSA-PSS", hash: "sha256" };
const ED25519: SignatureAlgorithm = { number: 4, name: "Ed25519", hash: null };
