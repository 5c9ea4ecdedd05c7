/** What a request to an agent says of keys, as values: a client's words, which are not trusted. */
import { FormatError, P11SealError, UnsupportedError } from "../errors.js";
import type { ExchangePublicKey, OaepHash } from "../keys/key.js";
import { publicKeyFromSpki } from "../keys/public-key.js";
import { isPkcs11Uri, parseUri, type Pkcs11Uri } from "../token/uri.js";

/** @throws FormatError; UnsupportedError `ERR_SIGN_ONLY` */
export function exchangeKey(spki: Uint8Array): ExchangePublicKey {
  const key = publicKeyFromSpki(spki);
  if (key.type !== "ed25519") return key;
  throw new UnsupportedError("ERR_SIGN_ONLY", "an Ed25519 key can only sign");
}

export function oaepHash(name: string | undefined): OaepHash | undefined {
  const hash = HASHES.find((one) => one === name);
  if (hash !== undefined || name === undefined) return hash;
  throw new FormatError("ERR_KEY", "an OAEP hash of an unknown name");
}

const HASHES: readonly OaepHash[] = ["sha1", "sha256", "sha384", "sha512"];

/**
 * URIs that name keys. What else a URI may say is not followed: a client of the agent's chooses no
 * module and no source of a PIN.
 */
export function urisOf(texts: readonly string[] | undefined): Pkcs11Uri[] | undefined {
  return texts?.flatMap((text) => {
    if (!isPkcs11Uri(text)) return [];
    try {
      return [parseUri(text)];
    } catch (error) {
      if (error instanceof P11SealError) return [];
      throw error;
    }
  });
}
