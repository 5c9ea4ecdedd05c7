/**
 * Private keys in memory, from PEM files: for those without a token, for tests, and for moving to one.
 * RSA, P-256, P-384, P-521 and X25519, as PKCS#8 (RFC 5958, encrypted or not), PKCS#1 (RFC 8017 §A.1.2)
 * or SEC 1 (RFC 5915).
 */
import { constants, diffieHellman, type KeyObject, privateDecrypt } from "node:crypto";
import { FormatError, UnsupportedError } from "../errors.js";
import { Secret } from "../secret.js";
import type {
  EcPrivateKey,
  EcPublicKey,
  ExchangePublicKey,
  Identity,
  OaepHash,
  PrivateKey,
  PublicKey,
  RsaPrivateKey,
  RsaPublicKey,
  X25519PublicKey,
} from "./key.js";
import { readPrivateKey } from "./formats/private-file.js";
import { publicKeyFromEcPoint, publicKeyFromX25519, requireExchange } from "./public-key.js";

/**
 * The identity of a private key file. Weak keys are taken: refusing to open what was already sealed
 * to one helps nobody.
 *
 * @param pem - the file: one private key.
 * @param name - how messages call it; public.
 * @param passphrase - for encrypted PKCS#8; `needsPassphrase` tells whether to ask.
 * @throws FormatError `ERR_PRIVATE_KEY`: not one private key in PEM, or damaged.
 * @throws UnsupportedError `ERR_KEY_FORMAT`, `ERR_KEY_TYPE`, `ERR_SIGN_ONLY`, `ERR_KEY_SIZE`.
 * @throws TokenError `ERR_PASSPHRASE`: missing, or the file doesn't decrypt with it.
 */
export function softwareIdentity(
  pem: Uint8Array | string,
  name: string,
  passphrase?: Uint8Array | string,
): Identity {
  const { key, publicKey } = readPrivateKey(pem, name, passphrase);
  const exchangeKey = forExchange(publicKey, name);
  const privateKey = softwareKey(key, exchangeKey);
  return { publicKey: exchangeKey, name, unlock: () => Promise.resolve(privateKey) };
}

// ── What the key can do ─────────────────────────────────────────────────────────────────────────

function softwareKey(key: KeyObject, publicKey: ExchangePublicKey): PrivateKey {
  return publicKey.type === "rsa" ? rsaKey(key, publicKey) : agreementKey(key, publicKey);
}

function rsaKey(key: KeyObject, { bits }: RsaPublicKey): RsaPrivateKey {
  const modulusBytes = Math.ceil(bits / 8);
  return {
    type: "rsa",
    oaepHashes: OAEP_BEST_FIRST,
    decryptOaep: (ciphertext, hash) =>
      Promise.resolve(
        ciphertext.length === modulusBytes ? decryptOaep(key, ciphertext, hash) : null,
      ),
  };
}

/** Every fault is the same `null`: telling them apart would be Manger's oracle (CRYPTO 2001). */
function decryptOaep(key: KeyObject, ciphertext: Uint8Array, oaepHash: OaepHash): Secret | null {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  try {
    // OpenSSL takes MGF1's hash from `oaepHash` too; without a label it is the empty one.
    return new Secret(privateDecrypt({ key, padding, oaepHash }, ciphertext));
  } catch {
    return null;
  }
}

function agreementKey(key: KeyObject, publicKey: EcPublicKey | X25519PublicKey): EcPrivateKey {
  return {
    type: publicKey.type,
    agree: (peer) => Promise.resolve(agree(key, publicKey, peer)),
  };
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
    // RFC 7748 §6.1: a point of small order gives zeros. OpenSSL refuses them already; this is not
    // left to it. On the NIST curves x = 0 is a sound, if unlikely, secret.
    const zero = own.type === "x25519" && shared.reduce((all, byte) => all | byte, 0) === 0;
    return zero ? null : new Secret(shared);
  } catch {
    return null;
  }
}

function forExchange(publicKey: PublicKey, name: string): ExchangePublicKey {
  try {
    return requireExchange(publicKey, { allowWeak: true });
  } catch (error) {
    if (error instanceof UnsupportedError) {
      const hint = error.hint === undefined ? {} : { hint: error.hint };
      throw new UnsupportedError(error.code, `${name}: ${error.message}`, hint);
    }
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: not a usable private key`);
  }
}

const OAEP_BEST_FIRST = ["sha256", "sha384", "sha512", "sha1"] as const;
