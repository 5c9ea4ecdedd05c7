/**
 * A private key in memory, and everything that a key of its kind can do. RSA padding is undone by
 * OpenSSL where OpenSSL can, else here: Node may refuse PKCS#1 v1.5 (CVE-2023-46809), and OpenSSL's
 * OAEP through Node takes one hash for both.
 */
import {
  constants,
  diffieHellman,
  type KeyObject,
  privateDecrypt,
  privateEncrypt,
} from "node:crypto";
import { defined } from "../defined.js";
import { FormatError } from "../errors.js";
import type {
  EcPublicKey,
  OaepDecryption,
  OaepParameters,
  PrivateKey,
  SinglePublicKey,
  RsaPublicKey,
  SigningPublicKey,
  X25519PublicKey,
} from "../keys/key.js";
import { publicHalfOf } from "../keys/formats/private-file.js";
import { publicKeyFromEcPoint, publicKeyFromX25519 } from "../keys/public-key.js";
import { signInMemory } from "../keys/signing.js";
import { Secret } from "../secret.js";
import { oaepDecode } from "../wrap/rsa-oaep.js";
import { pkcs1Decode } from "../wrap/rsa-pkcs1.js";

/** What `key` can do. `publicKey` is its public half. */
export function softwareKey<Public extends SinglePublicKey>(
  key: KeyObject,
  publicKey: Public,
): PrivateKey<Public> {
  return { publicKey, ...abilities(key, publicKey) };
}

/**
 * An RSA private key.
 *
 * @throws FormatError `ERR_PRIVATE_KEY`: anything else
 */
export function softwareRsaKey(key: KeyObject): PrivateKey<RsaPublicKey> {
  const publicKey = key.type === "private" ? publicHalfOf(key) : undefined;
  if (publicKey?.type === "rsa") return softwareKey(key, publicKey);
  throw notRsa();
}

/** Only an RSA private key will do. */
export function notRsa(): FormatError {
  return new FormatError("ERR_PRIVATE_KEY", "not an RSA private key", {
    hint: "CryptoAPI's exchange and signature keys are RSA keys.",
  });
}

function abilities(key: KeyObject, publicKey: SinglePublicKey): Omit<PrivateKey, "publicKey"> {
  switch (publicKey.type) {
    case "rsa":
      return { ...rsaAbilities(key, publicKey), ...signing(key, publicKey) };
    case "ec":
      // P-521 has no signature algorithm in messages.
      return {
        ...agreement(key, publicKey),
        ...(publicKey.curve === "P-521" ? {} : signing(key, publicKey)),
      };
    case "x25519":
      return agreement(key, publicKey);
    case "ed25519":
      return signing(key, publicKey);
  }
}

function signing(key: KeyObject, publicKey: SigningPublicKey): Pick<PrivateKey, "sign"> {
  return { sign: (message) => Promise.resolve(signInMemory(publicKey, key, message)) };
}

// ── RSA ──

function rsaAbilities(
  key: KeyObject,
  { bits }: RsaPublicKey,
): Pick<PrivateKey, "oaep" | "decryptPkcs1" | "signPkcs1"> {
  const modulusBytes = Math.ceil(bits / 8);
  const decrypt: OaepDecryption["decrypt"] = (ciphertext, parameters, { evenly = false } = {}) => {
    if (ciphertext.length !== modulusBytes) return Promise.resolve(null);
    const { hash, mgfHash = hash } = parameters;
    // OpenSSL's failure throws, and so takes longer than success.
    const onHost = evenly || mgfHash !== hash;
    return Promise.resolve(
      onHost
        ? decryptRaw(key, ciphertext, (em) => oaepDecode(em, parameters))
        : decryptOaep(key, ciphertext, parameters),
    );
  };
  return {
    oaep: { hashes: OAEP_BEST_FIRST, labels: "any", decrypt },
    decryptPkcs1: (ciphertext) => Promise.resolve(decryptRaw(key, ciphertext, pkcs1Decode)),
    signPkcs1: (payload) =>
      Promise.resolve(privateEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, payload)),
  };
}

/** Every fault is the same `null`: telling them apart would be Manger's oracle (CRYPTO 2001). */
function decryptOaep(
  key: KeyObject,
  ciphertext: Uint8Array,
  { hash, label }: OaepParameters,
): Secret | null {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  try {
    // OpenSSL takes MGF1's hash from `oaepHash` too.
    const how = { key, padding, oaepHash: hash, ...defined({ oaepLabel: label }) };
    return new Secret(privateDecrypt(how, ciphertext));
  } catch {
    return null;
  }
}

/** OpenSSL exponentiates; `decode` undoes the padding. */
function decryptRaw(
  key: KeyObject,
  ciphertext: Uint8Array,
  decode: (em: Uint8Array) => Uint8Array | null,
): Secret | null {
  const em = exponentiate(key, ciphertext);
  const message = decode(em);
  em.fill(0);
  return message === null ? null : new Secret(message);
}

function exponentiate(key: KeyObject, ciphertext: Uint8Array): Uint8Array {
  try {
    const em = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, ciphertext);
    return new Uint8Array(em.buffer, em.byteOffset, em.length);
  } catch {
    // Not below the modulus, as a payload in the wrong byte order often is: no padding fits this.
    return new Uint8Array(ciphertext.length).fill(0xff);
  }
}

const OAEP_BEST_FIRST = ["sha256", "sha384", "sha512", "sha1"] as const;

// ── Diffie-Hellman ──

function agreement(
  key: KeyObject,
  publicKey: EcPublicKey | X25519PublicKey,
): Pick<PrivateKey, "agree"> {
  return { agree: (peer) => Promise.resolve(agree(key, publicKey, peer)) };
}

function agree(
  privateKey: KeyObject,
  own: EcPublicKey | X25519PublicKey,
  peer: Uint8Array,
): Secret | null {
  try {
    const publicKey =
      own.type === "ec" ? publicKeyFromEcPoint(own.curve, peer) : publicKeyFromX25519(peer);
    const shared = diffieHellman({ privateKey, publicKey: publicKey.object });
    // RFC 7748 §6.1: a point of small order gives zeros. OpenSSL refuses such points already, but
    // that is not relied on. On the NIST curves x = 0 is a sound, if unlikely, secret.
    const isZero = own.type === "x25519" && shared.reduce((all, byte) => all | byte, 0) === 0;
    return isZero ? null : new Secret(shared);
  } catch {
    return null;
  }
}
