/**
 * The session key in a SIMPLEBLOB, with implicit rejection (`src/wrap/rejection.ts`): a failed
 * operation gives a session key all the same, and the message then fails where any altered message
 * fails. The key is the same each time the same blob is tried, or trying twice would tell.
 */
import { randomBytes } from "node:crypto";
import { NoMatchError } from "../errors.js";
import type { PrivateKey, RsaPublicKey } from "../keys/key.js";
import { Secret } from "../secret.js";
import { derivedSubstitute } from "../wrap/rejection.js";
import { type RsaWrap, unwrapRsa } from "../wrap/rsa-unwrap.js";
import { ALGORITHMS, fitsAlgorithm, type SessionKey } from "./algorithms.js";
import { encodeSimpleBlob, type SimpleBlob } from "./blob.js";

/** How the session key is padded: PKCS#1 v1.5, or with CRYPT_OAEP as OAEP over SHA-1. */
export type KeyPadding = "pkcs1" | "oaep";

export interface UnwrapOptions {
  /** By default PKCS#1 v1.5; the blob doesn't say. */
  readonly padding?: KeyPadding | undefined;
  /**
   * 32 secret bytes of this host: what the keys of implicit rejection are made from. By default
   * random for each process; a command line that is started once a message keeps them in a file.
   */
  readonly rejectionSecret?: Secret | undefined;
}

/** A session key, and whether it is the one the sender wrapped. */
export interface UnwrappedSessionKey {
  readonly key: SessionKey;
  /**
   * False: the key is one of implicit rejection. To be looked at only after everything was done
   * with the key that would have been done, and only if whoever sees the outcome can't choose
   * blobs.
   */
  readonly genuine: boolean;
}

/**
 * The session key of a blob, or one of implicit rejection in its place. One private key operation.
 *
 * @throws NoMatchError `ERR_NO_MATCH`: the payload is not as long as this key's modulus; no
 *   operation was done. TokenError from a key on a token.
 */
export async function unwrapSessionKey(
  blob: SimpleBlob,
  privateKey: PrivateKey<RsaPublicKey>,
  options: UnwrapOptions = {},
): Promise<UnwrappedSessionKey> {
  requireFits(blob, privateKey.publicKey);
  const { algorithm, wrapped: ciphertext } = blob;
  const hostSecret = options.rejectionSecret ?? processSecret;
  const { newKeyBytes } = ALGORITHMS[algorithm];
  const rejection = {
    fits: (length: number) => fitsAlgorithm(algorithm, length),
    substitute: derivedSubstitute(REJECTION_LABEL, encodeSimpleBlob(blob), hostSecret, newKeyBytes),
  };
  const wrap: RsaWrap =
    options.padding === "oaep"
      ? { type: "rsa-oaep", parameters: { hash: "sha1" }, ciphertext }
      : { type: "rsa-pkcs1", ciphertext };
  const { key, genuine } = await unwrapRsa(privateKey, wrap, rejection, { evenly: true });
  return { key: { algorithm, bytes: key }, genuine };
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

const processSecret = new Secret(new Uint8Array(randomBytes(32)));

const REJECTION_LABEL = "p11seal/v1 capi implicit rejection";
