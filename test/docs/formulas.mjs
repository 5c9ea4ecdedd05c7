/**
 * The formulas of docs/format.md, written a second time from the page alone, with node:crypto, an
 * ML-KEM and nothing from src/. Tests use them to compare the page with the library.
 */
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
} from "node:crypto";
import { ml_kem768, ml_kem1024 } from "@noble/post-quantum/ml-kem.js";

/** @typedef {Uint8Array} Bytes */

/** @param {...Bytes} parts */
export const join = (...parts) => Buffer.concat(parts);
/** @param {string} text */
export const ascii = (text) => Buffer.from(text, "ascii");

/** @param {number} bytes @param {number} value */
export function uint(bytes, value) {
  const field = Buffer.alloc(8);
  field.writeBigUInt64BE(BigInt(value));
  return field.subarray(8 - bytes);
}

/** @param {string} algorithm @param {...Bytes} parts */
export const hash = (algorithm, ...parts) =>
  createHash(algorithm)
    .update(join(...parts))
    .digest();
/** @param {string} algorithm @param {Bytes} key @param {...Bytes} parts */
export const hmac = (algorithm, key, ...parts) =>
  createHmac(algorithm, key)
    .update(join(...parts))
    .digest();

/**
 * RFC 5869 §2.3. @param {string} algorithm @param {Bytes} prk @param {Bytes} info @param {number}
 * length
 */
export function expand(algorithm, prk, info, length) {
  let okm = Buffer.alloc(0);
  let block = Buffer.alloc(0);
  for (let i = 1; okm.length < length; i++) {
    block = hmac(algorithm, prk, block, info, uint(1, i));
    okm = join(okm, block);
  }
  return okm.subarray(0, length);
}

/** §7.2. @param {Bytes} messageId @param {Bytes} spki */
export const stanzaTag = (messageId, spki) =>
  hmac("sha256", join(ascii("p11seal/v1 tag"), messageId), hash("sha256", spki)).subarray(0, 8);

/** §9. @param {Bytes} fileKey @param {string} label */
export const fromFileKey = (fileKey, label) =>
  expand("sha256", hmac("sha256", Buffer.alloc(32), fileKey), ascii(label), 32);

// ── §7.4: HPKE ──

/** Per stanza type: KEM id, hash of the KEM's KDF, bytes of `enc`. */
export const KEMS = /** @type {const} */ ({
  2: { kem: 0x0010, kdf: "sha256", encBytes: 65 },
  3: { kem: 0x0011, kdf: "sha384", encBytes: 97 },
  4: { kem: 0x0012, kdf: "sha512", encBytes: 133 },
  5: { kem: 0x0020, kdf: "sha256", encBytes: 32 },
  6: { kem: 0x0050, kdf: "sha3-256", encBytes: 1088 + 65 },
  7: { kem: 0x0051, kdf: "sha3-256", encBytes: 1568 + 97 },
});

/**
 * @param {string} kdf @param {Bytes} suite @param {Bytes} salt @param {string} label @param {Bytes}
 *   ikm
 */
const labeledExtract = (kdf, suite, salt, label, ikm) =>
  hmac(kdf, salt, ascii("HPKE-v1"), suite, ascii(label), ikm);
/**
 * @param {string} kdf @param {Bytes} suite @param {Bytes} prk @param {string} label @param {Bytes}
 *   info @param {number} length
 */
const labeledExpand = (kdf, suite, prk, label, info, length) =>
  expand(kdf, prk, join(uint(2, length), ascii("HPKE-v1"), suite, ascii(label), info), length);

/**
 * Everything HPKE derives for one stanza.
 * @param {keyof typeof KEMS} type @param {Bytes} dh @param {Bytes} enc @param {Bytes} point
 * @param {Bytes} messageId
 */
export function hpkeSchedule(type, dh, enc, point, messageId) {
  return scheduleFrom(type, dhkemSecret(type, dh, enc, point), messageId);
}

/**
 * Types 2 to 5: RFC 9180 §4.1.
 * @param {keyof typeof KEMS} type @param {Bytes} dh @param {Bytes} enc @param {Bytes} point
 */
function dhkemSecret(type, dh, enc, point) {
  const { kem, kdf } = KEMS[type];
  const kemSuite = join(ascii("KEM"), uint(2, kem));
  const eaePrk = labeledExtract(kdf, kemSuite, Buffer.alloc(0), "eae_prk", dh);
  const context = join(enc, point);
  return labeledExpand(kdf, kemSuite, eaePrk, "shared_secret", context, hash(kdf).length);
}

/**
 * What HPKE derives from a KEM's secret.
 * @param {keyof typeof KEMS} type @param {Bytes} shared @param {Bytes} messageId
 */
export function scheduleFrom(type, shared, messageId) {
  const { kem } = KEMS[type];
  const none = Buffer.alloc(0);
  const suite = join(ascii("HPKE"), uint(2, kem), uint(2, 0x0001), uint(2, 0x0002));
  const info = join(ascii("p11seal/v1 hpke"), messageId);
  const keyContext = join(
    uint(1, 0),
    labeledExtract("sha256", suite, none, "psk_id_hash", none),
    labeledExtract("sha256", suite, none, "info_hash", info),
  );
  const secret = labeledExtract("sha256", suite, shared, "secret", none);
  const key = labeledExpand("sha256", suite, secret, "key", keyContext, 32);
  const nonce = labeledExpand("sha256", suite, secret, "base_nonce", keyContext, 12);
  return { shared, key, nonce };
}

// ── §7.4: hybrids ──

const HYBRIDS = /** @type {const} */ ({
  "MLKEM768-P256": {
    ...{ type: 6, set: ml_kem768, curve: "prime256v1", scalar: 32, stream: 64 + 128 },
    spki: "308204f2300a06082b0601050507063b038204e200",
    ...{ ciphertext: 1088, point: 65 },
  },
  "MLKEM1024-P384": {
    ...{ type: 7, set: ml_kem1024, curve: "secp384r1", scalar: 48, stream: 64 + 48 },
    spki: "30820692300a06082b0601050507063f0382068200",
    ...{ ciphertext: 1568, point: 97 },
  },
});

/**
 * A hybrid private key of the kit: HPKE's seed of 32 bytes, in PEM under its KEM's name.
 * @param {string} pem
 */
export function hybridOf(pem) {
  const name = /^-----BEGIN (MLKEM768-P256|MLKEM1024-P384) SEED-----\n/.exec(pem)?.[1];
  if (name === undefined) return undefined;
  const { set, ...how } = HYBRIDS[/** @type {keyof typeof HYBRIDS} */ (name)];
  const seed = Buffer.from(pem.split("\n")[1] ?? "", "base64");
  const stream = createHash("shake256", { outputLength: how.stream }).update(seed).digest();
  const { publicKey, secretKey } = set.keygen(stream.subarray(0, 64));
  const ecdh = createECDH(how.curve);
  ecdh.setPrivateKey(stream.subarray(64, 64 + how.scalar));
  const point = ecdh.getPublicKey();
  const spki = join(Buffer.from(how.spki, "hex"), publicKey, point);
  const label = ascii(name);
  return { ...how, set, publicKey, secretKey, ecdh, ownPoint: point, spki, label };
}

/** @typedef {NonNullable<ReturnType<typeof hybridOf>>} Hybrid */

/**
 * §7.4's combination. @param {Hybrid} key @param {Bytes} mlkemSecret @param {Bytes} dh
 * @param {Bytes} ephemeral the point in `enc`
 */
export const combine = (key, mlkemSecret, dh, ephemeral) =>
  hash("sha3-256", mlkemSecret, dh, ephemeral, key.ownPoint, key.label);

/** The KEM's secret for a reader. @param {Hybrid} key @param {Bytes} enc */
export function decapsulate(key, enc) {
  const [ciphertext, point] = [enc.subarray(0, key.ciphertext), enc.subarray(key.ciphertext)];
  const mlkemSecret = key.set.decapsulate(ciphertext, key.secretKey);
  return combine(key, mlkemSecret, key.ecdh.computeSecret(point), point);
}

// ── §10: FLOE ──

/** @param {number} segLog2 */
export const floeParameters = (segLog2) => join(uint(2, 0), uint(4, 2 ** segLog2), uint(4, 32));

/**
 * @param {Bytes} key @param {Bytes} start parameters ‖ iv @param {Bytes} purpose @param {Bytes}
 *   aad @param {number} length
 */
export const floeKdf = (key, start, purpose, aad, length) =>
  expand("sha384", key, join(start, purpose, aad), length);

/**
 * The three values that FLOE derives before a segment key is needed.
 * @param {Bytes} floeKey @param {Bytes} start @param {Bytes} aad
 */
export const floeStart = (floeKey, start, aad) => ({
  headerTag: floeKdf(floeKey, start, ascii("HEADER_TAG:"), aad, 32),
  messageKey: floeKdf(floeKey, start, ascii("MESSAGE_KEY:"), aad, 48),
});

/** @param {Bytes} messageKey @param {Bytes} start @param {Bytes} aad @param {number} index */
export const segmentKey = (messageKey, start, aad, index) =>
  floeKdf(messageKey, start, join(ascii("DEK:"), uint(8, index - (index % 2 ** 20))), aad, 32);

/** @param {number} index @param {boolean} final */
export const segmentAad = (index, final) => join(uint(8, index), uint(1, final ? 1 : 0));

// ── §11 ──

/**
 * MTH (RFC 6962 §2.1) over sealed segments. @param {readonly Bytes[]} segments @returns {Buffer}
 */
export function treeHash(segments) {
  const [only] = segments;
  if (only !== undefined && segments.length === 1) return hash("sha256", Buffer.of(0), only);
  const k = 2 ** Math.floor(Math.log2(segments.length - 1));
  const halves = [segments.slice(0, k), segments.slice(k)].map(treeHash);
  return hash("sha256", Buffer.of(1), ...halves);
}

// ── AES-256-GCM, agreement ──

/**
 * Ciphertext ‖ tag. @param {Bytes} key @param {Bytes} nonce @param {Bytes} aad @param {Bytes}
 * plaintext
 */
export function gcmSeal(key, nonce, aad, plaintext) {
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(aad);
  return join(cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

/**
 * Throws if the tag does not match. @param {Bytes} key @param {Bytes} nonce @param {Bytes} aad
 * @param {Bytes} sealed
 */
export function gcmOpen(key, nonce, aad, sealed) {
  const at = sealed.length - 16;
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
  decipher.setAAD(aad).setAuthTag(sealed.subarray(at));
  return join(decipher.update(sealed.subarray(0, at)), decipher.final());
}

/** SubjectPublicKeyInfo of a private key, DER. @param {string} pem */
export const spkiOf = (pem) =>
  hybridOf(pem)?.spki ?? createPublicKey(pem).export({ format: "der", type: "spki" });

/**
 * Raw Diffie-Hellman between a private key and a bare public key of its kind.
 * @param {string} pem @param {Bytes} peer a point 04 ‖ X ‖ Y, or a u-coordinate
 */
export function agree(pem, peer) {
  // The key is the end of its SPKI; the prefix is the same for every key of its kind.
  const spki = spkiOf(pem);
  const key = join(spki.subarray(0, spki.length - peer.length), peer);
  return diffieHellman({
    privateKey: createPrivateKey(pem),
    publicKey: createPublicKey({ key, format: "der", type: "spki" }),
  });
}
