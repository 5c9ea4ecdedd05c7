/**
 * Public keys: from a SubjectPublicKeyInfo or bare numbers to a `PublicKey`. Which of them a
 * message may be sealed to is decided in `recipient-strength.ts`.
 *
 * A key has exactly one encoding here (`spki.ts`: `rsaEncryption` with NULL, a named curve with an
 * uncompressed point). Its SHA-256 is the fingerprint that people compare and that recipient tags
 * are made from, so two encodings of one key would have two fingerprints.
 */
import { createHash, ECDH } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { equal, toHex } from "../bytes.js";
import { defined } from "../defined.js";
import { FormatError, P11SealError, UnsupportedError } from "../errors.js";
import { withoutLeadingZeros } from "../asn1/der.js";
import type {
  EcCurve,
  EcPublicKey,
  Ed25519PublicKey,
  OaepHash,
  HybridKem,
  HybridPublicKey,
  PublicKey,
  RsaPublicKey,
  X25519PublicKey,
} from "./key.js";
import { requireEd25519, requireX25519 } from "./curve25519.js";
import { requireMlKemKey, ML_KEM_BYTES, type MlKemSet } from "./ml-kem.js";
import { PublicObjects } from "./public-objects.js";
import { CURVES, encodeSpki, parsePkcs1, parseSpki, type SpkiValue } from "./formats/spki.js";

/**
 * The key of a SubjectPublicKeyInfo in its canonical encoding, as in a message or on a token.
 *
 * @throws FormatError `ERR_DER`, `ERR_TRUNCATED`, `ERR_TRAILING`: not DER; `ERR_KEY`: not a key, or
 *   not its canonical encoding; `ERR_POINT`: a point that is not on its curve, or not encoded
 *   canonically.
 * @throws PolicyError `ERR_WEAK_KEY`: an Ed25519 point of small order.
 * @throws UnsupportedError `ERR_KEY_TYPE`, `ERR_KEY_SIZE`: a kind of key that is not supported.
 */
export function publicKeyFromSpki(spki: Uint8Array): PublicKey {
  const publicKey = keyOf(parseSpki(spki));
  if (!equal(publicKey.spki, spki)) {
    throw new FormatError("ERR_KEY", "public key is not in its canonical encoding");
  }
  return publicKey;
}

/**
 * The same for key files. Two harmless variants occur there and are converted to the canonical
 * form: a compressed point (SEC 1 §2.3.3) and `rsaEncryption` without its NULL. Throws as
 * `publicKeyFromSpki`.
 */
export function publicKeyFromFileSpki(spki: Uint8Array): PublicKey {
  return keyInSpki(spki).publicKey;
}

/**
 * The same, with the OAEP hash of an `id-RSAES-OAEP` key (RFC 4055), whose canonical encoding is
 * that of the plain RSA key.
 */
export function keyInSpki(spki: Uint8Array): { publicKey: PublicKey; oaep?: OaepHash } {
  const value = parseSpki(spki);
  if (value.type === "rsa") return { publicKey: keyOf(value), ...defined({ oaep: value.oaep }) };
  return { publicKey: otherKey(value) };
}

/**
 * The canonical encoding of the key in a certificate, which may have it in another. What can't be
 * read as a key that is supported is given back as it is.
 */
export function canonicalSpki(spki: Uint8Array): Uint8Array {
  try {
    return keyInSpki(spki).publicKey.spki;
  } catch (error) {
    if (error instanceof P11SealError) return spki;
    throw error;
  }
}

function otherKey(value: SpkiValue): PublicKey {
  if (value.type !== "ec") return keyOf(value);
  return publicKeyFromEcPoint(value.curve, decompress(value.curve, value.point));
}

/** The key of a PKCS#1 `RSAPublicKey` (RFC 8017 §A.1.1). Throws as `publicKeyFromSpki`. */
export function publicKeyFromPkcs1(pkcs1: Uint8Array): RsaPublicKey {
  const { modulus, exponent } = parsePkcs1(pkcs1);
  return publicKeyFromRsa(modulus, exponent);
}

/**
 * An RSA key from its two numbers, big-endian; leading zeros are allowed.
 *
 * @throws FormatError `ERR_KEY`: the numbers can't be an RSA key.
 * @throws UnsupportedError `ERR_KEY_SIZE`: more than 16,384 bits, or an exponent of more than 64.
 */
export function publicKeyFromRsa(modulus: Uint8Array, exponent: Uint8Array): RsaPublicKey {
  const n = new Uint8Array(withoutLeadingZeros(modulus));
  const e = withoutLeadingZeros(exponent);
  const bits = bitLength(n);
  if (bits > MAX_RSA_BITS) {
    throw new UnsupportedError("ERR_KEY_SIZE", `RSA key has ${bits} bits, more than 16384`);
  }
  if (e.length > MAX_EXPONENT_BYTES) {
    const most = 8 * MAX_EXPONENT_BYTES;
    throw new UnsupportedError(
      "ERR_KEY_SIZE",
      `RSA public exponent has ${bitLength(e)} bits, more than ${most}`,
    );
  }
  if (bits < MIN_RSA_BITS) {
    throw new FormatError("ERR_KEY", `RSA modulus has only ${bits} bits`);
  }
  if (!isOdd(n)) throw new FormatError("ERR_KEY", "RSA modulus is even");
  if (!isOdd(e) || bitLength(e) < 2) {
    throw new FormatError("ERR_KEY", `RSA public exponent 0x${toHex(e)} is not an odd number >= 3`);
  }
  const { spki, fingerprint } = encoding({ type: "rsa", modulus: n, exponent: e });
  return {
    ...{ type: "rsa", bits, modulus: n, spki, fingerprint },
    // OpenSSL checks no more than this function does, and whoever compares keys needs no object.
    get object() {
      return objectOf("rsa", spki);
    },
  };
}

/**
 * An EC key from its uncompressed point `04 ‖ X ‖ Y`.
 *
 * @throws FormatError `ERR_POINT`: anything else, a point that is not on the curve, or infinity.
 */
export function publicKeyFromEcPoint(curve: EcCurve, point: Uint8Array): EcPublicKey {
  const length = 1 + 2 * CURVES[curve].fieldBytes;
  if (point.length !== length || point[0] !== 0x04) {
    throw new FormatError(
      "ERR_POINT",
      `not an uncompressed ${curve} point of ${length} bytes starting with 04`,
    );
  }
  const { spki, fingerprint } = encoding({ type: "ec", curve, point });
  requireOnCurve(curve, point, spki);
  return {
    ...{ type: "ec", curve, point: new Uint8Array(point), spki, fingerprint },
    get object() {
      return objectOf(curve, spki);
    },
  };
}

/**
 * SP 800-56A §5.6.2.3.4: OpenSSL decodes the point, and refuses coordinates outside the field and
 * points off the curve. With cofactor 1 nothing more is needed. A key's object would show the same,
 * but takes four times as long to make, and whoever compares keys needs none.
 */
function requireOnCurve(curve: EcCurve, point: Uint8Array, spki: Uint8Array): void {
  if (OBJECTS.has(spki)) return;
  try {
    ECDH.convertKey(point, CURVES[curve].openssl);
  } catch {
    throw new FormatError("ERR_POINT", `point is not on ${curve}`);
  }
}

/**
 * An X25519 key from its u-coordinate, 32 bytes little-endian and below 2^255 − 19: RFC 7748 §5
 * takes the other encodings too, which would give one key several fingerprints. Those that lead to
 * an all-zero secret are refused by `requireExchange` and again by the agreement itself.
 *
 * @throws FormatError `ERR_POINT`: not 32 bytes, or not the canonical encoding.
 */
export function publicKeyFromX25519(point: Uint8Array): X25519PublicKey {
  requireX25519(point);
  return { type: "x25519", point: new Uint8Array(point), ...encoded({ type: "x25519", point }) };
}

/** What a hybrid KEM is put together from. */
export const HYBRID_PARTS: Readonly<
  Record<
    HybridKem,
    { readonly name: string; readonly set: MlKemSet; readonly curve: "P-256" | "P-384" | "X25519" }
  >
> = {
  "mlkem768-p256": { name: "MLKEM768-P256", set: "ml-kem-768", curve: "P-256" },
  "mlkem1024-p384": { name: "MLKEM1024-P384", set: "ml-kem-1024", curve: "P-384" },
  "mlkem768-x25519": { name: "MLKEM768-X25519", set: "ml-kem-768", curve: "X25519" },
};

/**
 * A hybrid key from its bytes in HPKE (draft-ietf-hpke-pq-03): the ML-KEM key, then the
 * uncompressed point or the u-coordinate; 1,249, 1,665 or 1,216 bytes.
 *
 * @throws FormatError `ERR_KEY`: another length, or not an ML-KEM key; `ERR_POINT`: not a point of
 *   the curve.
 */
export function publicKeyFromHybrid(kem: HybridKem, key: Uint8Array): HybridPublicKey {
  const { name, set, curve } = HYBRID_PARTS[kem];
  const { publicKey: split } = ML_KEM_BYTES[set];
  const length = split + (curve === "X25519" ? 32 : 1 + 2 * CURVES[curve].fieldBytes);
  if (key.length !== length) {
    throw new FormatError("ERR_KEY", `${name} key has ${key.length} bytes instead of ${length}`);
  }
  const mlkem = key.slice(0, split);
  requireMlKemKey(set, mlkem);
  const point = key.subarray(split);
  const dh = curve === "X25519" ? publicKeyFromX25519(point) : publicKeyFromEcPoint(curve, point);
  return { type: "hybrid", kem, dh, mlkem, ...encoding({ type: "hybrid", kem, key }) };
}

/**
 * Refuses a peer's point that is not a valid public key on the curve (SP 800-56A §5.6.2.3). Call
 * it before using a private key with the point, above all one on a token.
 *
 * @throws FormatError `ERR_POINT`.
 */
export function validatePoint(curve: EcCurve | "X25519", point: Uint8Array): void {
  if (curve === "X25519") publicKeyFromX25519(point);
  else publicKeyFromEcPoint(curve, point);
}

/** Modulus and public exponent, big-endian without leading zeros. */
export function rsaNumbers(publicKey: RsaPublicKey): {
  readonly modulus: Uint8Array;
  readonly exponent: Uint8Array;
} {
  const value = parseSpki(publicKey.spki);
  if (value.type !== "rsa") throw new FormatError("ERR_KEY", "not an RSA public key");
  return { modulus: value.modulus, exponent: value.exponent };
}

/**
 * An Ed25519 key from its 32 bytes (RFC 8032 §5.1.5).
 *
 * @throws FormatError `ERR_POINT`: not the canonical encoding of a point on the curve.
 * @throws PolicyError `ERR_WEAK_KEY`: a point of small order, for which anybody can sign.
 */
export function publicKeyFromEd25519(point: Uint8Array): Ed25519PublicKey {
  requireEd25519(point);
  return { type: "ed25519", ...encoded({ type: "ed25519", point }) };
}

/** `SHA256:` and 64 lower-case hexadecimal digits: SHA-256 of the SubjectPublicKeyInfo. */
export function fingerprintText(publicKey: PublicKey): string {
  return `SHA256:${toHex(publicKey.fingerprint)}`;
}

/** The fingerprint's digits in 16 groups of four, for reading out. */
export function fingerprintGroups(publicKey: PublicKey): string[] {
  return toHex(publicKey.fingerprint).match(/.{4}/g) ?? [];
}

/** Bits of an unsigned big-endian number. */
export function bitLength(value: Uint8Array): number {
  const bytes = withoutLeadingZeros(value);
  const [first] = bytes;
  return first === undefined ? 0 : 8 * bytes.length - Math.clz32(first) + 24;
}

/**
 * A point from elsewhere, decompressed if it is compressed (SEC 1 §2.3.4).
 *
 * @throws FormatError `ERR_POINT`: there is no such point
 */
export function decompress(curve: EcCurve, point: Uint8Array): Uint8Array {
  if (point[0] !== 0x02 && point[0] !== 0x03) return point;
  const { fieldBytes, openssl } = CURVES[curve];
  if (point.length !== 1 + fieldBytes) return point;
  try {
    const converted = ECDH.convertKey(point, openssl, undefined, undefined, "uncompressed");
    return new Uint8Array(converted as Buffer);
  } catch {
    throw new FormatError("ERR_POINT", `point is not on ${curve}`);
  }
}

/** The compressed form of an uncompressed point (SEC 1 §2.3.3). */
export function compress(point: Uint8Array): Uint8Array {
  const compressed = point.slice(0, (point.length + 1) / 2);
  compressed[0] = 2 + ((point.at(-1) ?? 0) & 1);
  return compressed;
}

// ── Details ──

function keyOf(value: SpkiValue): PublicKey {
  switch (value.type) {
    case "rsa":
      return publicKeyFromRsa(value.modulus, value.exponent);
    case "ec":
      return publicKeyFromEcPoint(value.curve, value.point);
    case "x25519":
      return publicKeyFromX25519(value.point);
    case "ed25519":
      return publicKeyFromEd25519(value.point);
    case "hybrid":
      return publicKeyFromHybrid(value.kem, value.key);
  }
}

function encoding(value: SpkiValue): { spki: Uint8Array<ArrayBuffer>; fingerprint: Uint8Array } {
  const spki = encodeSpki(value);
  return { spki, fingerprint: new Uint8Array(createHash("sha256").update(spki).digest()) };
}

/** The fields of a key that `node:crypto` knows. Building the `KeyObject` also checks the point. */
function encoded(value: SpkiValue): {
  spki: Uint8Array;
  fingerprint: Uint8Array;
  object: KeyObject;
} {
  const { spki, fingerprint } = encoding(value);
  return {
    spki,
    fingerprint,
    object: objectOf(value.type === "ec" ? value.curve : value.type, spki),
  };
}

function objectOf(kind: EcCurve | Exclude<SpkiValue["type"], "ec">, spki: Uint8Array): KeyObject {
  try {
    return OBJECTS.of(spki);
  } catch {
    throw kind.startsWith("P-")
      ? new FormatError("ERR_POINT", `point is not on ${kind}`)
      : new FormatError("ERR_KEY", `not a valid ${kind} public key`);
  }
}

function isOdd(value: Uint8Array): boolean {
  return ((value.at(-1) ?? 0) & 1) === 1;
}

/** More senders than most archives have; some hundred kilobytes. */
const OBJECTS = new PublicObjects(256);

/** OpenSSL's maximum for RSA (`OPENSSL_RSA_MAX_MODULUS_BITS`), and the minimum it computes with. */
const MAX_RSA_BITS = 16_384;
const MIN_RSA_BITS = 512;
/** OpenSSL's maximum for moduli above 3,072 bits. Nobody needs a longer exponent. */
const MAX_EXPONENT_BYTES = 8;
