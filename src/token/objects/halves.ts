/** Which half of a key pair is known, and what it can be used for: decided without a token. */
import { toHex } from "../../bytes.js";
import { TokenError, UnsupportedError } from "../../errors.js";
import type { ExchangePublicKey, PublicKey, RsaPublicKey } from "../../keys/key.js";
import { signatureAlgorithm, type SigningPublicKey } from "../../keys/signing.js";
import type { KeyInfo } from "../values.js";

/** The public half of an exchange key. @throws TokenError `ERR_PUBLIC_KEY_MISSING`; UnsupportedError `ERR_SIGN_ONLY`. */
export function exchangeHalf(key: KeyInfo): ExchangePublicKey {
  const publicKey = publicHalf(key);
  if (publicKey.type !== "ed25519") return publicKey;
  throw new UnsupportedError("ERR_SIGN_ONLY", `${keyName(key)} can only sign`);
}

/** The public half of a signing key. @throws TokenError `ERR_PUBLIC_KEY_MISSING`; UnsupportedError `ERR_SIGNING_KEY`. */
export function signingHalf(key: KeyInfo): SigningPublicKey {
  const publicKey = publicHalf(key);
  if (publicKey.type === "x25519") {
    throw new UnsupportedError("ERR_SIGNING_KEY", `${keyName(key)} cannot sign`);
  }
  signatureAlgorithm(publicKey);
  return publicKey;
}

/** The public half of a CryptoAPI key. @throws TokenError `ERR_PUBLIC_KEY_MISSING`; UnsupportedError `ERR_KEY_TYPE` */
export function rsaHalf(key: KeyInfo): RsaPublicKey {
  const publicKey = publicHalf(key);
  if (publicKey.type === "rsa") return publicKey;
  throw new UnsupportedError("ERR_KEY_TYPE", `${keyName(key)} is not an RSA key`, {
    hint: "CryptoAPI's exchange and signature keys are RSA keys",
  });
}

/** @throws TokenError `ERR_PUBLIC_KEY_MISSING` */
export function publicHalf(key: KeyInfo): PublicKey {
  if (key.publicKey !== undefined) return key.publicKey;
  throw new TokenError(
    "ERR_PUBLIC_KEY_MISSING",
    `the public half of ${keyName(key)} is not known`,
    {
      hint: "the token shows neither a public key nor a certificate with the key's id",
    },
  );
}

/** A message's name for a key. */
export function keyName(key: Pick<KeyInfo, "label" | "id">): string {
  return key.label === "" ? `the key with id ${toHex(key.id)}` : `"${key.label}"`;
}
