/**
 * Which keys sign messages, and are believed to have: as strong as those that messages are sealed
 * to.
 */
import type { PublicKey, SigningPublicKey } from "./key.js";
import { requireExchange } from "./recipient-strength.js";
import { signatureAlgorithm } from "./signing.js";

/**
 * The key as one whose signature somebody relies on. What makes an RSA key too weak to be sealed to
 * makes its signatures worthless as well: whoever factors the modulus signs in its holder's name.
 *
 * @param options - `allowWeak`: RSA from 1,024 bits, with a small exponent, or with ROCA's
 *   fingerprint.
 * @throws PolicyError `ERR_WEAK_KEY`, `ERR_ROCA`.
 * @throws UnsupportedError `ERR_SIGNING_KEY`, `ERR_KEY_SIZE`.
 */
export function requireSigner(
  publicKey: PublicKey,
  options: { allowWeak?: boolean } = {},
): SigningPublicKey {
  signatureAlgorithm(publicKey);
  if (publicKey.type === "rsa") requireExchange(publicKey, options);
  return publicKey as SigningPublicKey;
}
