/**
 * The algorithms that HPKE is put together from, over `node:crypto`: DHKEM's sending half, HKDF and
 * the AEADs, in the shape the `hpke` package wants. Its own go through WebCrypto, where each of a
 * dozen steps waits for a thread: several times the cost of the agreement itself.
 */
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHmac,
  diffieHellman,
  generateKeyPairSync,
} from "node:crypto";
import {
  encode,
  I2OSP,
  LabeledExpand,
  LabeledExtract,
  NotSupportedError,
  type AEADFactory,
  type KDF,
  type KDFFactory,
  type KEM,
} from "hpke";
import { concat, concatAll } from "../bytes.js";
import type { EcCurve, EcPublicKey, X25519PublicKey } from "../keys/key.js";
import { publicKeyFromEcPoint, publicKeyFromX25519 } from "../keys/public-key.js";
import { CURVES } from "../keys/formats/spki.js";
import { recipientKey, recipientOf } from "./hpke-recipient.js";

/** What HPKE is run over: a curve of Diffie-Hellman. */
export type HpkeCurve = EcCurve | "X25519";

/** DHKEM (RFC 9180 §4.1) as far as public keys go; `Decap` is the caller's. */
export function dhkem(curve: HpkeCurve): KEM {
  const { id, kdf, encBytes, secretBytes } = KEMS[curve];
  return {
    id,
    type: "KEM",
    name: `DHKEM(${curve})`,
    Nsecret: secretBytes,
    Nenc: encBytes,
    Npk: encBytes,
    Nsk: KEMS[curve].dhBytes,
    DeserializePublicKey: (point) =>
      Promise.resolve(
        recipientKey(
          curve === "X25519" ? publicKeyFromX25519(point) : publicKeyFromEcPoint(curve, point),
        ),
      ),
    SerializePublicKey: (key) => Promise.resolve(recipientOf(key, "ec", "x25519").point),
    Encap: async (key) => {
      const recipient = recipientOf(key, "ec", "x25519");
      const { enc, dh } = agreeWith(recipient);
      try {
        const context = concat(enc, recipient.point);
        return { shared_secret: await extractAndExpand(id, kdf(), secretBytes, dh, context), enc };
      } finally {
        dh.fill(0);
      }
    },
    ...NO_PRIVATE_KEYS,
  };
}

/** ExtractAndExpand(dh, kem_context) of a curve's KEM (RFC 9180 §4.1). */
export function sharedSecret(
  curve: HpkeCurve,
  dh: Uint8Array,
  kemContext: Uint8Array,
): Promise<Uint8Array> {
  const { id, kdf, secretBytes } = KEMS[curve];
  return extractAndExpand(id, kdf(), secretBytes, dh, kemContext);
}

async function extractAndExpand(
  id: number,
  kdf: KDF,
  length: number,
  dh: Uint8Array,
  kemContext: Uint8Array,
): Promise<Uint8Array> {
  const suiteId = concat(encode("KEM"), I2OSP(id, 2));
  const prk = await LabeledExtract(kdf, suiteId, new Uint8Array(0), encode("eae_prk"), dh);
  return LabeledExpand(kdf, suiteId, prk, encode("shared_secret"), kemContext, length);
}

/** A fresh key's public half, and what it agrees on with the recipient's. */
export function agreeWith(recipient: EcPublicKey | X25519PublicKey): {
  enc: Uint8Array;
  dh: Uint8Array;
} {
  if (recipient.type === "ec") {
    // Refuses points off the curve, like the key's own construction before it.
    const ephemeral = createECDH(CURVES[recipient.curve].openssl);
    const enc = new Uint8Array(ephemeral.generateKeys());
    return { enc, dh: ephemeral.computeSecret(recipient.point) };
  }
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  // The last 32 bytes of its SubjectPublicKeyInfo (RFC 8410 §4).
  const enc = new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  // OpenSSL refuses a point of small order, whose secret would be zeros (RFC 9180 §7.1.4).
  return { enc, dh: diffieHellman({ privateKey, publicKey: recipient.object }) };
}

/** HKDF (RFC 5869) with a hash. */
function hkdf(id: number, hash: "sha256" | "sha384" | "sha512", bytes: number): KDFFactory {
  const mac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array => {
    const hmac = createHmac(hash, key);
    for (const part of parts) hmac.update(part);
    return new Uint8Array(hmac.digest());
  };
  const kdf: KDF = {
    id,
    type: "KDF",
    name: `HKDF-${hash}`,
    Nh: bytes,
    stages: 2,
    Extract: (salt, ikm) => Promise.resolve(mac(salt, ikm)),
    Expand: (prk, info, length) => {
      // RFC 5869 §2.3: the block counter is one byte, and would start again.
      if (length > MAX_BLOCKS * bytes) {
        return Promise.reject(new RangeError(`HKDF-${hash} gives no ${length} bytes`));
      }
      const blocks: Uint8Array[] = [];
      for (let i = 1; i <= Math.ceil(length / bytes); i++) {
        blocks.push(mac(prk, blocks.at(-1) ?? new Uint8Array(0), info, Uint8Array.of(i)));
      }
      return Promise.resolve(concatAll(blocks).subarray(0, length));
    },
    Derive: unsupported,
  };
  return () => kdf;
}

const MAX_BLOCKS = 255;

export const HKDF_SHA256 = hkdf(0x0001, "sha256", 32);

const TAG_BYTES = 16;

/** The AEADs that messages use (RFC 9180 §7.3), by their names in `node:crypto`. */
export type HpkeAead = "aes-256-gcm" | "chacha20-poly1305";

/** With keys of 32 bytes, nonces of 12 and tags of 16 (RFC 5116 §5.2, RFC 8439 §2.8). */
export const AEADS: Readonly<Record<HpkeAead, AEADFactory>> = {
  "aes-256-gcm": aead(0x0002, "AES-256-GCM", "aes-256-gcm"),
  "chacha20-poly1305": aead(0x0003, "ChaCha20Poly1305", "chacha20-poly1305"),
};

function aead(id: number, name: string, algorithm: HpkeAead): AEADFactory {
  // Of the two lists of overloads each takes one of the names: their union fits neither.
  const of = algorithm as "chacha20-poly1305";
  const tag = { authTagLength: TAG_BYTES };
  return () => ({
    ...{ id, type: "AEAD", name, Nk: 32, Nn: 12, Nt: TAG_BYTES },
    Seal: (key, nonce, aad, plaintext) => {
      const cipher = createCipheriv(of, key, nonce, tag);
      cipher.setAAD(aad, { plaintextLength: plaintext.length });
      const ciphertext = concat(cipher.update(plaintext), cipher.final());
      return Promise.resolve(concat(ciphertext, cipher.getAuthTag()));
    },
    Open: async (key, nonce, aad, ciphertext) => {
      const end = Math.max(0, ciphertext.length - TAG_BYTES);
      const decipher = createDecipheriv(of, key, nonce, tag);
      decipher.setAAD(aad, { plaintextLength: end }).setAuthTag(ciphertext.subarray(end));
      const plaintext = decipher.update(ciphertext.subarray(0, end));
      return Promise.resolve(concat(plaintext, decipher.final()));
    },
  });
}

function unsupported(): Promise<never> {
  return Promise.reject(new NotSupportedError("not a part of HPKE that messages use"));
}

/** The half of a KEM that no private key's holder offers; whoever opens puts a `Decap` in. */
export const NO_PRIVATE_KEYS = {
  Decap: unsupported,
  DeriveKeyPair: unsupported,
  GenerateKeyPair: unsupported,
  SerializePrivateKey: unsupported,
  DeserializePrivateKey: unsupported,
};

/** RFC 9180 §7.1, table 2: per KEM its number, KDF, Nsecret, Nenc and Ndh. */
export const KEMS: Readonly<
  Record<
    HpkeCurve,
    {
      readonly id: number;
      readonly kdf: KDFFactory;
      readonly secretBytes: number;
      readonly encBytes: number;
      readonly dhBytes: number;
    }
  >
> = {
  "P-256": { id: 0x0010, kdf: HKDF_SHA256, secretBytes: 32, encBytes: 65, dhBytes: 32 },
  "P-384": {
    id: 0x0011,
    kdf: hkdf(0x0002, "sha384", 48),
    secretBytes: 48,
    encBytes: 97,
    dhBytes: 48,
  },
  "P-521": {
    id: 0x0012,
    kdf: hkdf(0x0003, "sha512", 64),
    secretBytes: 64,
    encBytes: 133,
    dhBytes: 66,
  },
  X25519: { id: 0x0020, kdf: HKDF_SHA256, secretBytes: 32, encBytes: 32, dhBytes: 32 },
};
