/**
 * The article's six steps ("Manual Session Key Exchanges"), as a peer on Windows runs them: a
 * random session key, the message under it, the key once for each recipient in a SIMPLEBLOB; and
 * back.
 *
 * What this is not: authenticated. Without a signature a message can be altered at will, a CBC
 * message even read by whoever may try alterations and sees which fail to decrypt; and the key
 * inside is padded with PKCS#1 v1.5 unless both ends say OAEP. It exists for peers that speak
 * nothing else.
 */
import { createHash, type Hash } from "node:crypto";
import { PolicyError, UnsupportedError, UsageError } from "../errors.js";
import { oaepEncrypt, oaepOverhead } from "../wrap/rsa-oaep.js";
import { PKCS1_OVERHEAD, pkcs1Encrypt } from "../wrap/rsa-pkcs1.js";
import type { RsaPrivateKey, RsaPublicKey } from "../keys/key.js";
import { requireExchange } from "../keys/recipient-strength.js";
import { type ByteSource, ByteStream, Reader } from "../stream.js";
import {
  ALGORITHMS,
  generateSessionKey,
  type SessionAlgorithm,
  type SessionKey,
} from "./algorithms.js";
import { type AuthenticMessage, requireAuthentic } from "./authentic.js";
import { encodeSimpleBlob, parseSimpleBlob } from "./blob.js";
import {
  checkParameters,
  type CipherParameters,
  decryptMessage,
  encryptMessage,
} from "./cipher.js";
import { type KeyPadding, unwrapSessionKey, type UnwrapOptions } from "./session-key-unwrap.js";
import { readRest } from "./reading.js";
import {
  descriptionBytes,
  requireSigning,
  signDigest,
  type SignatureForm,
} from "./hash-signature.js";

export interface SendOptions {
  /** Exchange keys, at least one; each gets a blob of its own, in their order. */
  readonly recipients: readonly RsaPublicKey[];
  /** By default AES-256. */
  readonly algorithm?: SessionAlgorithm | undefined;
  /** For RC2 and RC4: 40 to 128. */
  readonly keyBits?: number | undefined;
  /** A stored session key, in place of a new one; then `parameters.iv` must be given. */
  readonly sessionKey?: SessionKey | undefined;
  /** What the receiver must be told besides, as the blob doesn't say it. */
  readonly parameters?: CipherParameters | undefined;
  /** By default PKCS#1 v1.5, as `CryptExportKey` without flags. */
  readonly padding?: KeyPadding | undefined;
  /** Takes ciphers that no new message should use, ECB, and recipients' keys below 2,048 bits. */
  readonly allowWeak?: boolean | undefined;
  /** Signs blob and ciphertext, once for each recipient. */
  readonly signer?: { readonly key: RsaPrivateKey; readonly form: SignatureForm };
}

/** A message on its way. Its blobs are ready; it is encrypted as it is read, once. */
export interface SentMessage {
  /** A SIMPLEBLOB for each recipient, in their order. */
  readonly blobs: readonly Uint8Array[];
  readonly ciphertext: ByteStream;
  /**
   * For each recipient, over its blob and the ciphertext; once the ciphertext was read to its end.
   */
  signatures(): Promise<Uint8Array[]>;
}

/**
 * Steps 1 to 3, for one recipient or several.
 *
 * @throws UsageError `ERR_NO_RECIPIENTS`, `ERR_KEY_LENGTH`, `ERR_CIPHER_PARAMETER`.
 * @throws PolicyError `ERR_WEAK_CIPHER`, `ERR_WEAK_KEY`, `ERR_ROCA`, `ERR_WEAK_HASH`.
 * @throws UnsupportedError `ERR_KEY_SIZE`.
 */
export function sendMessage(plaintext: ByteSource, options: SendOptions): SentMessage {
  const { recipients, parameters = {}, padding = "pkcs1", allowWeak = false, signer } = options;
  if (recipients.length === 0) {
    throw new UsageError("ERR_NO_RECIPIENTS", "a message needs at least one recipient");
  }
  const algorithm = options.sessionKey?.algorithm ?? options.algorithm ?? "aes256";
  requireSoundCipher(algorithm, parameters, allowWeak);
  if (options.sessionKey !== undefined) requireFreshIv(algorithm, parameters);
  for (const recipient of recipients) requireExchange(recipient, { allowWeak });
  if (signer !== undefined) requireSigning(signer.form);

  const key = options.sessionKey ?? generateSessionKey(algorithm, options.keyBits);
  const wipe = () => {
    if (options.sessionKey === undefined) key.bytes.wipe();
  };
  const blobs = recipients.map((recipient) => wrapSessionKey(key, recipient, padding));
  const hashes = signer === undefined ? [] : blobs.map((blob) => hashOf(signer.form, blob));
  let complete = false;

  const reader = new Reader(plaintext);
  async function* encrypted(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const chunk of encryptMessage(key, parameters, readRest(reader))) {
        for (const hash of hashes) hash.update(chunk);
        yield chunk;
      }
      complete = true;
    } finally {
      wipe();
      await reader.close();
    }
  }
  return {
    blobs,
    ciphertext: new ByteStream(encrypted(), async () => {
      wipe();
      await reader.close();
    }),
    signatures: async () => {
      if (signer === undefined) return [];
      if (!complete) throw new TypeError("the ciphertext was not read to its end");
      const signatures: Uint8Array[] = [];
      for (const hash of hashes) {
        const digest = hash.copy().update(descriptionBytes(signer.form)).digest();
        signatures.push(await signDigest(signer.key, digest, signer.form));
      }
      return signatures;
    },
  };
}

/**
 * Step 3, `CryptExportKey`: the SIMPLEBLOB of a session key under an exchange key.
 *
 * @throws UnsupportedError `ERR_KEY_SIZE`: the RSA key is too small for the session key.
 */
export function wrapSessionKey(
  { algorithm, bytes }: SessionKey,
  recipient: RsaPublicKey,
  padding: KeyPadding = "pkcs1",
): Uint8Array {
  const overhead = padding === "oaep" ? oaepOverhead("sha1") : PKCS1_OVERHEAD;
  if (recipient.modulus.length < overhead + bytes.length) {
    throw new UnsupportedError(
      "ERR_KEY_SIZE",
      `an RSA key of ${recipient.bits} bits is too small for ${algorithm} with ${padding} padding`,
    );
  }
  const key = recipient.object;
  const wrapped =
    padding === "oaep"
      ? oaepEncrypt(key, bytes.expose(), { hash: "sha1" })
      : pkcs1Encrypt(key, bytes.expose());
  return encodeSimpleBlob({ algorithm, wrapped });
}

export interface ReceiveOptions extends UnwrapOptions {
  /** The SIMPLEBLOB. */
  readonly blob: Uint8Array;
  readonly ciphertext: ByteSource;
  readonly privateKey: RsaPrivateKey;
  readonly parameters?: CipherParameters | undefined;
  /** That blob and ciphertext were signed; or `allowUnauthenticated`. */
  readonly authentic?: AuthenticMessage | undefined;
  readonly allowUnauthenticated?: boolean | undefined;
}

export interface ReceivedMessage {
  readonly algorithm: SessionAlgorithm;
  /** The signer, where a signature was checked. */
  readonly signer?: RsaPublicKey;
  /**
   * The plaintext, once. Only its end tells whether the message decrypted: a consumer takes back
   * what it has when the stream throws AuthenticationError `ERR_DECRYPT`. Unauthenticated, a wrong
   * key or an altered message may also end well and be noise: always with RC4, once in 256
   * otherwise.
   */
  readonly plaintext: ByteStream;
}

/**
 * Steps 5 and 6. Everything that needs no private key is checked before it is used; then its
 * failure looks like a message that was altered.
 *
 * @throws PolicyError `ERR_UNAUTHENTICATED`; FormatError, UnsupportedError: see `parseSimpleBlob`;
 *   UsageError `ERR_CIPHER_PARAMETER`; AuthenticationError `ERR_SENDER_SIGNATURE`: another blob
 *   than the signed one; NoMatchError `ERR_NO_MATCH`; TokenError from a key on a token.
 */
export async function receiveMessage(options: ReceiveOptions): Promise<ReceivedMessage> {
  const { authentic, ciphertext, privateKey, parameters = {} } = options;
  const reader = new Reader(ciphertext);
  try {
    requireAuthentic(authentic, options.allowUnauthenticated);
    const blob = parseSimpleBlob(options.blob);
    authentic?.requireBlob(options.blob);
    checkParameters(blob.algorithm, parameters);

    const { key, genuine } = await unwrapSessionKey(blob, privateKey, options);
    // Signed messages say at their end that the key was none: RC4 would never show it. Who can ask
    // this question is someone whose signatures are accepted here, and who is slowed after
    // failures.
    const proceed = () => genuine || authentic === undefined;
    const source = authentic?.recheck(readRest(reader)) ?? readRest(reader);
    async function* decrypted(): AsyncGenerator<Uint8Array, void, undefined> {
      try {
        yield* decryptMessage(key, parameters, source, proceed);
      } finally {
        key.bytes.wipe();
        await reader.close();
      }
    }
    const plaintext = new ByteStream(decrypted(), async () => {
      key.bytes.wipe();
      await reader.close();
    });
    const { algorithm } = blob;
    return authentic === undefined
      ? { algorithm, plaintext }
      : { algorithm, plaintext, signer: authentic.signer };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Refuses what no new message should be encrypted with. @throws as `sendMessage` */
export function requireSoundCipher(
  algorithm: SessionAlgorithm,
  parameters: CipherParameters,
  allowWeak: boolean,
): void {
  checkParameters(algorithm, parameters);
  if (allowWeak) return;
  const weak = ALGORITHMS[algorithm].weak
    ? algorithm
    : parameters.mode === "ecb"
      ? "ECB"
      : undefined;
  if (weak === undefined) return;
  throw new PolicyError("ERR_WEAK_CIPHER", `no new message is encrypted with ${weak}`, {
    hint: "Windows XP with service pack 1 and everything since reads AES (PROV_RSA_AES).",
  });
}

/**
 * The IV of zeros is sound for a key that is used once. @throws UsageError `ERR_CIPHER_PARAMETER`
 */
export function requireFreshIv(algorithm: SessionAlgorithm, { mode, iv }: CipherParameters): void {
  if (iv !== undefined || mode === "ecb" || ALGORITHMS[algorithm].blockBytes === 0) return;
  throw new UsageError(
    "ERR_CIPHER_PARAMETER",
    "a stored session key needs an IV for each message",
    {
      hint: "Under one key and one IV, equal beginnings of messages are seen; choose a random IV.",
    },
  );
}

// ── Details ──

/** A hash over a signed message, begun with its blob. */
function hashOf(form: SignatureForm, blob: Uint8Array): Hash {
  return createHash(form.hash).update(blob);
}
