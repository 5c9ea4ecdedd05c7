/**
 * A key out of an RSA wrap, with one private key operation and implicit rejection.
 *
 * PKCS#1 v1.5 (RFC 8017 §7.2) lets whoever learns whether a wrap was well formed decrypt others
 * with a few thousand questions (Bleichenbacher 1998, and every decade since). So nobody learns it
 * here.
 */
import type { KnownPublicKey, OaepParameters, PrivateKey } from "../keys/key.js";
import { requireCapability } from "../keys/purpose.js";
import { orSubstitute, type Rejection, type Unwrapped } from "./rejection.js";

/** A key under RSA; `ciphertext` is as long as the modulus. */
export type RsaWrap =
  | {
      readonly type: "rsa-oaep";
      readonly parameters: OaepParameters;
      readonly ciphertext: Uint8Array;
    }
  | { readonly type: "rsa-pkcs1"; readonly ciphertext: Uint8Array };

export interface UnwrapHow {
  /** The key's length, bytes, where there is but one. */
  readonly keyBytes?: number;
  /**
   * For OAEP: as many calls for a bad wrap as for a good one, which PKCS#1 v1.5 has in any case.
   * For formats that let a sender see what becomes of the wraps he chooses.
   */
  readonly evenly?: boolean;
}

/**
 * The key in `wrap`, or its substitute.
 *
 * @throws as `requireCapability`; TokenError from a key on a token
 */
export function unwrapRsa(
  privateKey: PrivateKey<KnownPublicKey>,
  wrap: RsaWrap,
  rejection: Rejection,
  how: UnwrapHow = {},
): Promise<Unwrapped> {
  const { ciphertext } = wrap;
  if (wrap.type === "rsa-pkcs1") {
    const decrypt = requireCapability(privateKey, "decryptPkcs1");
    return orSubstitute(() => decrypt(ciphertext), rejection);
  }
  const oaep = requireCapability(privateKey, "oaep");
  return orSubstitute(() => oaep.decrypt(ciphertext, wrap.parameters, how), rejection);
}
