/** Which half of a key pair is known, and what it can be used for: decided without a token. */
import { toHex } from "../../bytes.js";
import { TokenError } from "../../errors.js";
import type { PublicKey } from "../../keys/key.js";
import { type Purpose, type PurposeKeys, requireKind } from "../../keys/purpose.js";
import type { KeyInfo } from "../values.js";

/**
 * The public half of a key that is to serve `purpose`.
 *
 * @throws TokenError `ERR_PUBLIC_KEY_MISSING`; UnsupportedError as `requireKind`
 */
export function suitedHalf<P extends Purpose>(key: KeyInfo, purpose: P): PurposeKeys[P] {
  return requireKind(publicHalf(key), purpose, keyName(key));
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

/** How messages call a key. */
export function keyName(key: Pick<KeyInfo, "label" | "id">): string {
  return key.label === "" ? `the key with id ${toHex(key.id)}` : `"${key.label}"`;
}
