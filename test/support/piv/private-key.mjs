/**
 * A PIV card's private key operations (SP 800-73-4 part 2, §3.2.4): RSA without padding, ECDH
 * without derivation, ECDSA over a given digest. They need no constant time: the keys are public.
 */
import { constants, createECDH, createHash, privateDecrypt, randomBytes } from "node:crypto";
import { tlv } from "./tlv.mjs";

/** Algorithm identifiers (SP 800-78-4 table 6-2; 0x05 is RSA-3072 of SP 800-78-5). */
export const ALGORITHM = { rsa3072: 0x05, rsa2048: 0x07, p256: 0x11, p384: 0x14 };

const CURVES = {
  "P-256": {
    algorithm: ALGORITHM.p256,
    openssl: "prime256v1",
    bytes: 32,
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
  "P-384": {
    algorithm: ALGORITHM.p384,
    openssl: "secp384r1",
    bytes: 48,
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
};

/**
 * @typedef {object} Operations
 * @property {number} algorithm the only identifier that the key answers to
 * @property {(input: Buffer) => Buffer} transform raw RSA, or ECDSA of a digest
 * @property {(point: Buffer) => Buffer} agree ECDH with an uncompressed point
 */

/**
 * @param {import("node:crypto").KeyObject} key RSA-2048, RSA-3072, P-256 or P-384
 * @returns {Operations} they throw on input that the key can't take
 */
export function operations(key) {
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits === 2048 || bits === 3072) return rsa(key, bits / 8);
  const jwk = key.export({ format: "jwk" });
  const curve = jwk.crv === "P-256" || jwk.crv === "P-384" ? CURVES[jwk.crv] : undefined;
  if (curve === undefined) throw new Error("a PIV card has no such kind of key");
  const secret = Buffer.from(String(jwk.d), "base64url");
  return {
    algorithm: curve.algorithm,
    transform: (digest) => ecdsa(curve, secret, digest),
    agree(point) {
      const half = createECDH(curve.openssl);
      half.setPrivateKey(secret);
      return half.computeSecret(point);
    },
  };
}

/**
 * @param {import("node:crypto").KeyObject} key
 * @param {number} bytes
 * @returns {Operations}
 */
function rsa(key, bytes) {
  return {
    algorithm: bytes === 256 ? ALGORITHM.rsa2048 : ALGORITHM.rsa3072,
    transform(input) {
      if (input.length !== bytes) throw new Error("not as long as the modulus");
      return privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, input);
    },
    agree() {
      throw new Error("RSA agrees on nothing");
    },
  };
}

/**
 * FIPS 186-5 §6.4.1; node:crypto signs only messages, not digests.
 * @param {(typeof CURVES)["P-256"]} curve
 * @param {Buffer} secret
 * @param {Buffer} digest
 * @returns {Buffer} DER: SEQUENCE { r, s }
 */
function ecdsa(curve, secret, digest) {
  const { order, bytes, openssl } = curve;
  if (digest.length > bytes) throw new Error("a digest longer than the order");
  for (;;) {
    const seed = createHash("sha512").update(randomBytes(64)).digest().subarray(0, bytes);
    const once = number(seed) % order;
    if (once === 0n) continue;
    const half = createECDH(openssl);
    half.setPrivateKey(seedOf(once, bytes));
    const r = number(half.getPublicKey().subarray(1, 1 + bytes)) % order;
    const s = (inverse(once, order) * (number(digest) + r * number(secret))) % order;
    if (r !== 0n && s !== 0n) return tlv(0x30, integer(r, bytes), integer(s, bytes));
  }
}

/** @param {Buffer} bytes */
function number(bytes) {
  return BigInt(`0x${bytes.toString("hex")}`);
}

/**
 * @param {bigint} value
 * @param {number} bytes
 */
function seedOf(value, bytes) {
  return Buffer.from(value.toString(16).padStart(2 * bytes, "0"), "hex");
}

/**
 * DER INTEGER: shortest form, positive.
 * @param {bigint} value
 * @param {number} bytes
 */
function integer(value, bytes) {
  const padded = Buffer.concat([Buffer.of(0), seedOf(value, bytes)]);
  let start = 0;
  while (padded[start] === 0 && ((padded[start + 1] ?? 0x80) & 0x80) === 0) start++;
  return tlv(0x02, padded.subarray(start));
}

/**
 * By Fermat's little theorem, since the order is prime.
 * @param {bigint} value
 * @param {bigint} order
 */
function inverse(value, order) {
  let result = 1n;
  let power = value % order;
  for (let left = order - 2n; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = (result * power) % order;
    power = (power * power) % order;
  }
  return result;
}
