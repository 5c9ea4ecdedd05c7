/**
 * Private keys in memory, from PEM files: for those without a token, for tests, and for moving to one.
 * RSA, P-256, P-384, P-521 and X25519, as PKCS#8 (RFC 5958, encrypted or not), PKCS#1 (RFC 8017 §A.1.2)
 * or SEC 1 (RFC 5915).
 *
 * The text of a private key is a secret: no message here quotes any of it, and no error of OpenSSL's
 * goes on as a cause.
 */
import {
  constants,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  type KeyObject,
  privateDecrypt,
} from "node:crypto";
import { FormatError, TokenError, UnsupportedError } from "../errors.js";
import { Secret } from "../secret.js";
import { DerReader } from "./der.js";
import type {
  EcPrivateKey,
  EcPublicKey,
  ExchangePublicKey,
  Identity,
  OaepHash,
  PrivateKey,
  RsaPrivateKey,
  RsaPublicKey,
  X25519PublicKey,
} from "./key.js";
import { parsePem, type PemBlock } from "./pem.js";
import {
  publicKeyFromEcPoint,
  publicKeyFromFileSpki,
  publicKeyFromX25519,
  requireExchange,
} from "./public-key.js";

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
  const key = privateKeyOf(privateBlock(pem, name), name, passphrase);
  const publicKey = publicHalf(key, name);
  const privateKey = softwareKey(key, publicKey);
  return { publicKey, name, unlock: () => Promise.resolve(privateKey) };
}

/** True when the file is encrypted PKCS#8. Throws as `softwareIdentity`. */
export function needsPassphrase(pem: Uint8Array | string, name: string): boolean {
  return privateBlock(pem, name).label === "ENCRYPTED PRIVATE KEY";
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

// ── Reading the file ────────────────────────────────────────────────────────────────────────────

function privateBlock(pem: Uint8Array | string, name: string): PemBlock {
  const text = typeof pem === "string" ? pem : new TextDecoder("utf-8").decode(pem);
  if (text.length > MAX_FILE_LENGTH) {
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: too large to be a private key`);
  }
  // `openssl ecparam -genkey` writes the curve's name as a block of its own before the key.
  const blocks = parseBlocks(text, name).filter(({ label }) => label !== "EC PARAMETERS");
  const [block] = blocks;
  if (block === undefined || blocks.length > 1) {
    throw new FormatError(
      "ERR_PRIVATE_KEY",
      `${name}: ${blocks.length} PEM blocks where one private key belongs`,
    );
  }
  if (block.hasHeaders) throw oldEncryption(name);
  if (block.label === "OPENSSH PRIVATE KEY") throw openSshKey(name);
  if (!DER_TYPES.has(block.label)) {
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: PEM block ${block.label} is no private key`);
  }
  return block;
}

function parseBlocks(text: string, name: string): PemBlock[] {
  try {
    return parsePem(text);
  } catch {
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: damaged PEM`);
  }
}

function privateKeyOf(
  { label, bytes }: PemBlock,
  name: string,
  passphrase: Uint8Array | string | undefined,
): KeyObject {
  requireOneValue(bytes, name);
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const type = DER_TYPES.get(label) ?? "pkcs8";
  if (label !== "ENCRYPTED PRIVATE KEY") {
    try {
      return createPrivateKey({ key, format: "der", type });
    } catch {
      throw new FormatError("ERR_PRIVATE_KEY", `${name}: damaged or unknown private key`);
    }
  }
  if (passphrase === undefined) {
    throw new TokenError("ERR_PASSPHRASE", `${name}: private key is encrypted`, {
      hint: "Give its passphrase.",
    });
  }
  try {
    const secret = typeof passphrase === "string" ? passphrase : Buffer.from(passphrase);
    return createPrivateKey({ key, format: "der", type, passphrase: secret });
  } catch {
    throw new TokenError("ERR_PASSPHRASE", `${name}: private key doesn't decrypt`, {
      hint: "The passphrase is wrong, or the file is damaged.",
    });
  }
}

function publicHalf(key: KeyObject, name: string): ExchangePublicKey {
  try {
    // `createPublicKey` of a private key takes its public half.
    const spki = createPublicKey(key);
    const der = new Uint8Array(spki.export({ format: "der", type: "spki" }));
    return requireExchange(publicKeyFromFileSpki(der), { allowWeak: true });
  } catch (error) {
    if (error instanceof UnsupportedError) {
      const hint = error.hint === undefined ? {} : { hint: error.hint };
      throw new UnsupportedError(error.code, `${name}: ${error.message}`, hint);
    }
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: not a usable private key`);
  }
}

function requireOneValue(bytes: Uint8Array, name: string): void {
  try {
    const reader = new DerReader(bytes, "private key");
    reader.skip();
    reader.end();
  } catch {
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: damaged private key`);
  }
}

function oldEncryption(name: string): UnsupportedError {
  return new UnsupportedError("ERR_KEY_FORMAT", `${name}: PEM's old encryption is not supported`, {
    hint: "It derives the key with one round of MD5; convert with: openssl pkcs8 -topk8 -in OLD -out NEW",
  });
}

function openSshKey(name: string): UnsupportedError {
  return new UnsupportedError(
    "ERR_KEY_FORMAT",
    `${name}: OpenSSH's own private key format is not supported`,
    { hint: "Convert a copy of it with: ssh-keygen -p -m PKCS8 -f COPY" },
  );
}

const MAX_FILE_LENGTH = 65_536;

const DER_TYPES: ReadonlyMap<string, "pkcs8" | "pkcs1" | "sec1"> = new Map([
  ["PRIVATE KEY", "pkcs8"],
  ["ENCRYPTED PRIVATE KEY", "pkcs8"],
  ["RSA PRIVATE KEY", "pkcs1"],
  ["EC PRIVATE KEY", "sec1"],
]);

const OAEP_BEST_FIRST = ["sha256", "sha384", "sha512", "sha1"] as const;
