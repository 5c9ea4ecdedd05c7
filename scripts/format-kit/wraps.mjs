/**
 * Wrapping a file key, and signing, with every random value given: a kit that comes out the same
 * each time can be compared with the one in docs/. No real writer may do any of this.
 */
import {
  createECDH,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  privateEncrypt,
  publicEncrypt,
  sign,
  constants,
} from "node:crypto";
import * as f from "../../test/docs/formulas.mjs";
import { power } from "../../test/support/edwards.mjs";

/** @typedef {Uint8Array} Bytes */

const HASHES = /** @type {const} */ ({ 1: "sha1", 2: "sha256", 3: "sha384", 4: "sha512" });

/** MGF1 (RFC 8017 §B.2.1). @param {string} hash @param {Bytes} seed @param {number} length */
function mgf1(hash, seed, length) {
  let mask = Buffer.alloc(0);
  for (let i = 0; mask.length < length; i++) mask = f.join(mask, f.hash(hash, seed, f.uint(4, i)));
  return mask.subarray(0, length);
}

/** @param {Bytes} a @param {Bytes} b */
const xor = (a, b) => Buffer.from(a.map((byte, i) => byte ^ /** @type {number} */ (b[i])));

/** Bytes of an RSA modulus, and the modulus. @param {string} pem */
export function modulusOf(pem) {
  const { n = "" } = createPublicKey(pem).export({ format: "jwk" });
  return Buffer.from(n, "base64url");
}

/**
 * RSAES-OAEP-ENCRYPT (RFC 8017 §7.1.1).
 * @param {string} pem @param {1 | 2 | 3 | 4} hashId @param {Bytes} message @param {Bytes} random
 * @param {Bytes} [label]
 */
export function oaep(pem, hashId, message, random, label = Buffer.alloc(0)) {
  const hash = HASHES[hashId];
  const labelHash = f.hash(hash, label);
  const k = modulusOf(pem).length;
  const padding = Buffer.alloc(k - message.length - 2 * labelHash.length - 2);
  const db = f.join(labelHash, padding, Buffer.of(1), message);
  const seed = f.expand("sha512", random, f.ascii("OAEP seed"), labelHash.length);
  const maskedDb = xor(db, mgf1(hash, seed, db.length));
  const maskedSeed = xor(seed, mgf1(hash, maskedDb, seed.length));
  const em = f.join(Buffer.of(0), maskedSeed, maskedDb);
  return publicEncrypt({ key: pem, padding: constants.RSA_NO_PADDING }, em);
}

/** Per curve: OpenSSL's name, bytes of a coordinate, the order of the base point. */
const CURVES = /** @type {const} */ ({
  "P-256": {
    name: "prime256v1",
    bytes: 32,
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
  "P-384": {
    name: "secp384r1",
    bytes: 48,
    order:
      0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
  "P-521": {
    name: "secp521r1",
    bytes: 66,
    order:
      0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
  },
});

/** @typedef {keyof typeof CURVES} Curve */

/**
 * A scalar from random bytes: never zero, below the order. @param {Curve} curve @param {Bytes}
 * random
 */
function scalar(curve, random) {
  const { bytes, order } = CURVES[curve];
  const wide = f.expand("sha512", random, f.ascii("scalar"), bytes + 8);
  return (number(wide) % (order - 1n)) + 1n;
}

/** @param {Bytes} bytes */
const number = (bytes) => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
/** @param {bigint} value @param {number} bytes */
const fixed = (value, bytes) => Buffer.from(value.toString(16).padStart(2 * bytes, "0"), "hex");

/**
 * An ephemeral key of the recipient's kind: its public half, and what both agree on.
 * @param {string} pem the recipient's @param {Bytes} random
 */
export function ephemeral(pem, random) {
  const { crv, x = "", y = "" } = createPublicKey(pem).export({ format: "jwk" });
  if (crv === "X25519") {
    const head = Buffer.from("302e020100300506032b656e04220420", "hex");
    const der = f.join(head, random);
    const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    const publicKey = createPublicKey(privateKey).export({ format: "der", type: "spki" });
    const dh = diffieHellman({ privateKey, publicKey: createPublicKey(pem) });
    return { enc: publicKey.subarray(-32), dh };
  }
  const curve = /** @type {Curve} */ (crv);
  const key = createECDH(CURVES[curve].name);
  key.setPrivateKey(fixed(scalar(curve, random), CURVES[curve].bytes));
  const point = f.join(Buffer.of(4), Buffer.from(x, "base64url"), Buffer.from(y, "base64url"));
  return { enc: key.getPublicKey(), dh: key.computeSecret(point) };
}

/**
 * A hybrid KEM's Encap: what is sent, and the secret.
 * @param {f.Hybrid} key the recipient's @param {Bytes} random
 */
export function encapsulate(key, random) {
  const drawn = f.expand("sha512", random, f.ascii("ML-KEM"), 32);
  const { cipherText, sharedSecret } = key.set.encapsulate(key.publicKey, drawn);
  const curve = key.type === 6 ? "P-256" : "P-384";
  const ephemeral = createECDH(key.curve);
  ephemeral.setPrivateKey(fixed(scalar(curve, random), CURVES[curve].bytes));
  const point = ephemeral.getPublicKey();
  const shared = f.combine(key, sharedSecret, ephemeral.computeSecret(key.ownPoint), point);
  return { enc: f.join(cipherText, point), shared };
}

// ── Signatures ──

/**
 * ECDSA (FIPS 186-5 §6.4.1) as r ‖ s.
 * @param {string} pem @param {string} hash @param {Bytes} message @param {Bytes} random
 */
export function ecdsa(pem, hash, message, random) {
  const { crv, d = "" } = createPrivateKey(pem).export({ format: "jwk" });
  const curve = /** @type {Curve} */ (crv);
  const { name, bytes, order } = CURVES[curve];
  const k = scalar(curve, random);
  const nonce = createECDH(name);
  nonce.setPrivateKey(fixed(k, bytes));
  const r = number(nonce.getPublicKey().subarray(1, 1 + bytes)) % order;
  const z = number(f.hash(hash, message));
  const s = (power(k, order - 2n, order) * (z + r * number(Buffer.from(d, "base64url")))) % order;
  return f.join(fixed(r, bytes), fixed(s, bytes));
}

/**
 * RSASSA-PSS with SHA-256 (RFC 8017 §8.1.1, §9.1.1).
 * @param {string} pem @param {Bytes} message @param {Bytes} salt
 */
export function pss(pem, message, salt) {
  const modulus = modulusOf(pem);
  const bits = 8 * modulus.length - Math.clz32(/** @type {number} */ (modulus[0])) + 24;
  const emLength = Math.ceil((bits - 1) / 8);
  const digest = f.hash("sha256", Buffer.alloc(8), f.hash("sha256", message), salt);
  const padding = Buffer.alloc(emLength - salt.length - 34);
  const db = f.join(padding, Buffer.of(1), salt);
  const masked = xor(db, mgf1("sha256", digest, db.length));
  masked[0] = /** @type {number} */ (masked[0]) & (0xff >> (8 * emLength - bits + 1));
  const em = f.join(masked, digest, Buffer.of(0xbc));
  const whole = f.join(Buffer.alloc(modulus.length - em.length), em);
  return privateEncrypt({ key: pem, padding: constants.RSA_NO_PADDING }, whole);
}

/**
 * The signature of §5 by a key, and its number. @param {string} pem @param {Bytes} message @param
 * {Bytes} random
 */
export function signature(pem, message, random) {
  const key = createPrivateKey(pem);
  const { crv } = createPublicKey(pem).export({ format: "jwk" });
  if (crv === "Ed25519") return { algorithm: 4, bytes: sign(null, message, key) };
  if (crv === "P-256") return { algorithm: 1, bytes: ecdsa(pem, "sha256", message, random) };
  if (crv === "P-384") return { algorithm: 2, bytes: ecdsa(pem, "sha384", message, random) };
  if (crv === "P-521") return { algorithm: 2, bytes: ecdsa(pem, "sha384", message, random) };
  return { algorithm: 3, bytes: pss(pem, message, f.hash("sha256", random)) };
}
