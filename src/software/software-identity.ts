/**
 * Identities of private key files, for those without a token, for tests, and for moving to one:
 * RSA, P-256, P-384, P-521, X25519 and Ed25519, as PKCS#8 (RFC 5958, encrypted or not), PKCS#1 (RFC
 * 8017 §A.1.2) or SEC 1 (RFC 5915).
 */
import { FormatError, PolicyError } from "../errors.js";
import { readPrivateKey } from "../keys/formats/private-file.js";
import type { Identity, SinglePublicKey } from "../keys/key.js";
import { requireExchange } from "../keys/recipient-strength.js";
import { type Purpose, requireKind, type SinglePurposeKey } from "../keys/purpose.js";
import { naming } from "../keys/refusals.js";
import { notRsa, softwareKey } from "./software-key.js";

export interface SoftwareIdentityOptions<P extends Purpose> {
  /** For encrypted PKCS#8; `needsPassphrase` tells whether to ask. */
  readonly passphrase?: Uint8Array | string | undefined;
  /** What the key is wanted for; by default to open messages. */
  readonly purpose?: P | undefined;
}

/**
 * The identity of a private key file. Weak keys are taken: refusing to open what was already sealed
 * to one helps nobody.
 *
 * @param pem - the file: one private key.
 * @param name - how messages call it; public.
 * @throws FormatError `ERR_PRIVATE_KEY`: not one private key in PEM, damaged, or not one that
 *   CryptoAPI knows, where that is the purpose.
 * @throws UnsupportedError `ERR_KEY_FORMAT`, `ERR_KEY_TYPE`, `ERR_KEY_SIZE`; `ERR_SIGN_ONLY`,
 *   `ERR_SIGNING_KEY`: not a key for this purpose.
 * @throws TokenError `ERR_PASSPHRASE`: missing, or the file doesn't decrypt with it.
 */
export function softwareIdentity<P extends Purpose = "open">(
  pem: Uint8Array | string,
  name: string,
  options: SoftwareIdentityOptions<P> = {},
): Identity<SinglePurposeKey<P>> {
  const { key, publicKey, certificates } = readPrivateKey(pem, name, options.passphrase);
  const suited = suitedFor(publicKey, (options.purpose ?? "open") as P, name);
  const privateKey = softwareKey(key, suited);
  return {
    ...{ publicKey: suited, name },
    ...(certificates.length > 0 && { certificates }),
    unlock: () => Promise.resolve(privateKey),
  };
}

function suitedFor<P extends Purpose>(
  publicKey: SinglePublicKey,
  purpose: P,
  name: string,
): SinglePurposeKey<P> {
  if (purpose === "open") requireSoundExchange(publicKey, name);
  if (purpose.startsWith("capi-") && publicKey.type !== "rsa") throw notRsa();
  return requireKind(publicKey, purpose, name) as SinglePurposeKey<P>;
}

function requireSoundExchange(publicKey: SinglePublicKey, name: string): void {
  try {
    naming(name, () => requireExchange(publicKey, { allowWeak: true }));
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: not a usable private key`);
  }
}
