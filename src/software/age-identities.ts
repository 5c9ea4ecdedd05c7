/** Identities of the files that age-keygen writes. */
import { FormatError } from "../errors.js";
import { parseAgeIdentities, type AgeSecretKey } from "../keys/formats/age-keys.js";
import { publicHalfOf } from "../keys/formats/private-file.js";
import type { ExchangePublicKey, Identity } from "../keys/key.js";
import { requireExchange } from "../keys/recipient-strength.js";
import { privateKeyOf } from "./bare-key.js";
import { hybridSeedIdentity } from "./hybrid-identity.js";
import { softwareKey } from "./software-key.js";

/**
 * The identities of an age identity file, one a line: X25519 keys, `AGE-SECRET-KEY-1…`, and those
 * with ML-KEM-768 beside it, `AGE-SECRET-KEY-PQ-1…`.
 *
 * @param name - how messages call the file; public.
 * @throws FormatError `ERR_PRIVATE_KEY`: no key; `ERR_BECH32`, `ERR_KEY`: a damaged one
 * @throws UnsupportedError `ERR_KEY_TYPE`: a plugin's identity, or one of another type
 */
export async function ageIdentities(
  text: string,
  name: string,
): Promise<Identity<ExchangePublicKey>[]> {
  const found = parseAgeIdentities(text, name);
  if (found.length === 0) {
    throw new FormatError("ERR_PRIVATE_KEY", `${name}: holds no age identity`);
  }
  const at = (line: number): string => (found.length === 1 ? name : `${name}:${line}`);
  return Promise.all(found.map((key) => identityOf(key, at(key.line))));
}

async function identityOf(
  { type, secret }: AgeSecretKey,
  name: string,
): Promise<Identity<ExchangePublicKey>> {
  try {
    if (type === "mlkem768-x25519") return await hybridSeedIdentity(type, secret, name);
    const key = privateKeyOf("X25519", secret.expose());
    const publicKey = requireExchange(publicHalfOf(key));
    if (publicKey.type === "hybrid") throw new TypeError("one key is no hybrid");
    const privateKey = softwareKey(key, publicKey);
    return { publicKey, name, unlock: () => Promise.resolve(privateKey) };
  } finally {
    secret.wipe();
  }
}
