/** The public half of a listed key, checked against what the key is to do. Uses no token. */
import { toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import type { Identity, SinglePublicKey } from "../../keys/key.js";
import { type Purpose, requireKind, type SinglePurposeKey } from "../../keys/purpose.js";
import type { KeyInfo } from "../values.js";

/**
 * The public half of a key that is to serve `purpose`.
 *
 * @throws TokenError `ERR_PUBLIC_KEY_MISSING`; UnsupportedError as `requireKind`
 */
export function suitedHalf<P extends Purpose>(key: KeyInfo, purpose: P): SinglePurposeKey<P> {
  return requireKind(publicHalf(key), purpose, keyName(key)) as SinglePurposeKey<P>;
}

/** @throws TokenError `ERR_PUBLIC_KEY_MISSING` */
export function publicHalf(key: KeyInfo): SinglePublicKey {
  if (key.publicKey !== undefined) return key.publicKey;
  throw new TokenError("ERR_PUBLIC_KEY_MISSING", `the public key of ${keyName(key)} is unknown`, {
    hint: "the token shows neither a public key nor a certificate with its id; give it with --public FILE",
  });
}

/**
 * How the identity of a key is known: by its URI, and by its label where the URI has an id alone,
 * as that of a private key that does not show (`key-list.ts`).
 */
export function identityName({ uri, label }: Pick<KeyInfo, "uri" | "label">): {
  readonly name: string;
  readonly label?: string;
} {
  const isSaid = label === "" || /[:;]object=/.test(uri);
  return { name: uri, ...defined({ label: isSaid ? undefined : label }) };
}

/** What an identity tells of a key besides its public half. */
export function identityFacts(key: KeyInfo): Pick<Identity, "name" | "label" | "certificates"> {
  const { certificates } = key;
  return { ...identityName(key), ...(certificates.length > 0 && { certificates }) };
}

/** A key's name in messages. */
export function keyName(key: Pick<KeyInfo, "label" | "id">): string {
  return key.label === "" ? `the key with id ${toHex(key.id)}` : `"${key.label}"`;
}
