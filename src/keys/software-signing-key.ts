/** A signing key in memory, from a private key file. */
import { UnsupportedError } from "../errors.js";
import { readPrivateKey } from "./formats/private-file.js";
import { signatureAlgorithm, signInMemory, type SigningIdentity } from "./signing.js";

/**
 * The signing identity of a private key file.
 *
 * @throws as `readPrivateKey`; UnsupportedError `ERR_SIGNING_KEY` for keys that can't sign messages
 */
export function softwareSigningIdentity(
  pem: Uint8Array | string,
  name: string,
  passphrase?: Uint8Array | string,
): SigningIdentity {
  const { key, publicKey } = readPrivateKey(pem, name, passphrase);
  if (publicKey.type === "x25519") {
    throw new UnsupportedError("ERR_SIGNING_KEY", `${name}: an X25519 key cannot sign`);
  }
  signatureAlgorithm(publicKey);
  const signingKey = {
    sign: (message: Uint8Array) => Promise.resolve(signInMemory(publicKey, key, message)),
  };
  return { publicKey, name, unlock: () => Promise.resolve(signingKey) };
}
