/**
 * The private half of an exchange key, and the session key it takes out of a SIMPLEBLOB.
 *
 * PKCS#1 v1.5 (RFC 8017 §7.2) lets whoever learns whether a ciphertext was well formed decrypt others
 * with a few thousand questions (Bleichenbacher 1998, and every decade since). So nobody learns it: a
 * failed operation gives a session key all the same, one that only this host can predict (implicit
 * rejection), and the message then fails where any altered message fails. The key is the same each
 * time the same blob is tried, or trying twice would tell.
 */
import { constants, createHmac, type KeyObject, privateDecrypt, randomBytes } from "node:crypto";
import { ascii, concat } from "../bytes.js";
import { NoMatchError } from "../errors.js";
import { oaepDecode } from "../wrap/rsa-oaep.js";
import { pkcs1Decode } from "../wrap/rsa-pkcs1.js";
import type { RsaPublicKey, Using } from "../keys/key.js";
import { Secret } from "../secret.js";
import { ALGORITHMS, fitsAlgorithm, type SessionKey } from "./algorithms.js";
import { encodeSimpleBlob, type SimpleBlob } from "./blob.js";
import { requireRsaPair } from "./software-key.js";

/** How the session key is padded: PKCS#1 v1.5, or with CRYPT_OAEP as OAEP over SHA-1. */
export type KeyPadding = "pkcs1" | "oaep";

/**
 * What can use an exchange key's private half: in memory (`softwareCapiKey`) or on a token. The first
 * call may ask for a PIN; nothing here calls it before everything that needs no key was checked.
 */
export interface CapiPrivateKey {
  readonly publicKey: RsaPublicKey;
  /**
   * RSAES-PKCS1-v1_5 decryption (RFC 8017 §7.2.2) of `ciphertext`, big-endian and as long as the
   * modulus. Resolves to `null` for every fault of the ciphertext, a number not below the modulus
   * included; rejects only where the fault has nothing to do with it (token gone, PIN refused). A
   * library under it may do implicit rejection of its own and deliver a key of random length.
   */
  decryptPkcs1v15(ciphertext: Uint8Array, using?: Using): Promise<Secret | null>;
  /** The same for RSAES-OAEP with SHA-1, MGF1 with SHA-1, and an empty label (§7.1.2). */
  decryptOaepSha1(ciphertext: Uint8Array, using?: Using): Promise<Secret | null>;
}

/** What can reach an exchange key's private half. */
export interface CapiIdentity {
  readonly publicKey: RsaPublicKey;
  /** How a person knows it: a `pkcs11:` URI or a file's name. Public. */
  readonly name: string;
  /** May ask for a PIN: called only after everything was checked that needs no private key. */
  unlock(): Promise<CapiPrivateKey>;
}

export interface UnwrapOptions {
  /** By default PKCS#1 v1.5; the blob doesn't say. */
  readonly padding?: KeyPadding;
  /**
   * 32 secret bytes of this host: what the keys of implicit rejection are made from. By default
   * random for each process; a command line that is started once a message keeps them in a file.
   */
  readonly rejectionSecret?: Secret;
}

/** A session key, and whether it is the one the sender wrapped. */
export interface Unwrapped {
  readonly key: SessionKey;
  /**
   * False: the key is one of implicit rejection. To be looked at only after everything was done with
   * the key that would have been done, and only if whoever sees the outcome can't choose blobs.
   */
  readonly genuine: boolean;
}

/** A private key in memory. Throws FormatError `ERR_PRIVATE_KEY`: not an RSA private key. */
export function softwareCapiKey(key: KeyObject): CapiPrivateKey {
  const publicKey = requireRsaPair(key);
  return {
    publicKey,
    decryptPkcs1v15: (ciphertext) => Promise.resolve(decrypt(key, ciphertext, pkcs1Decode)),
    decryptOaepSha1: (ciphertext) =>
      Promise.resolve(decrypt(key, ciphertext, (em) => oaepDecode(em, "sha1"))),
  };
}

/**
 * The session key of a blob, or one of implicit rejection in its place. One private key operation.
 *
 * @throws NoMatchError `ERR_NO_MATCH`: the payload is not as long as this key's modulus; no operation
 *   was done. TokenError from a key on a token.
 */
export async function unwrapSessionKey(
  blob: SimpleBlob,
  privateKey: CapiPrivateKey,
  options: UnwrapOptions = {},
): Promise<Unwrapped> {
  requireFits(blob, privateKey.publicKey);
  // Made before, and always: whether it is needed must not show in the time.
  const substitute = rejectionKey(blob, options.rejectionSecret ?? processSecret);
  const unwrapped =
    options.padding === "oaep"
      ? await privateKey.decryptOaepSha1(blob.wrapped)
      : await privateKey.decryptPkcs1v15(blob.wrapped);

  // Lengths are checked here, whatever a token says: an empty AES key is a key to some.
  const genuine = unwrapped !== null && fitsAlgorithm(blob.algorithm, unwrapped.length);
  const [bytes, other] = genuine ? [unwrapped, substitute] : [substitute, unwrapped];
  other?.wipe();
  return { key: { algorithm: blob.algorithm, bytes }, genuine };
}

/** Refuses a blob that is for a key of another size. Public facts only. */
export function requireFits(blob: SimpleBlob, publicKey: RsaPublicKey): void {
  const bits = 8 * blob.wrapped.length;
  if (blob.wrapped.length === publicKey.modulus.length) return;
  throw new NoMatchError(
    "ERR_NO_MATCH",
    `the key blob is for a key of ${bits} bits, the private key has ${publicKey.bits}`,
    { hint: "It is for another key; or bytes after the blob belong elsewhere (--sdk-file)." },
  );
}

// ── Details ─────────────────────────────────────────────────────────────────────────────────────

/** The exponentiation is OpenSSL's, the padding ours: Node may refuse PKCS#1 v1.5 (CVE-2023-46809). */
function decrypt(
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
    // Not below the modulus, as an unreversed payload often is: a block that no padding fits.
    return new Uint8Array(ciphertext.length).fill(0xff);
  }
}

function rejectionKey(blob: SimpleBlob, secret: Secret): Secret {
  const hmac = createHmac("sha256", secret.expose());
  hmac.update(concat(ascii(REJECTION_LABEL), encodeSimpleBlob(blob)));
  const bytes = new Uint8Array(hmac.digest());
  return new Secret(bytes.slice(0, ALGORITHMS[blob.algorithm].newKeyBytes));
}

const processSecret = new Secret(new Uint8Array(randomBytes(32)));

const REJECTION_LABEL = "p11seal/v1 capi implicit rejection";
