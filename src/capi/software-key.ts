/** RSA private keys in memory: what CryptoAPI's exchange and its signatures both start from. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { FormatError } from "../errors.js";
import type { RsaPublicKey } from "../keys/key.js";
import { publicKeyFromFileSpki } from "../keys/public-key.js";

/** The public half of an RSA private key. Throws FormatError `ERR_PRIVATE_KEY` for anything else. */
export function requireRsaPair(key: KeyObject): RsaPublicKey {
  if (key.type === "private" && key.asymmetricKeyType === "rsa") {
    const spki = createPublicKey(key).export({ format: "der", type: "spki" });
    const publicKey = publicKeyFromFileSpki(new Uint8Array(spki));
    if (publicKey.type === "rsa") return publicKey;
  }
  throw new FormatError("ERR_PRIVATE_KEY", "not an RSA private key", {
    hint: "CryptoAPI's exchange and signature keys are RSA keys.",
  });
}
