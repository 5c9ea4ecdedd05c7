/** What tests ask of private keys; a key that can't do it fails the test. */
import type { OaepHash, PrivateKey } from "../../src/keys/key.js";
import { requireCapability } from "../../src/keys/purpose.js";
import type { Secret } from "../../src/secret.js";

export async function decryptOaep(
  key: PrivateKey,
  ciphertext: Uint8Array,
  hash: OaepHash,
): Promise<Secret | null> {
  return requireCapability(key, "oaep").decrypt(ciphertext, { hash });
}

export async function decryptPkcs1(
  key: PrivateKey,
  ciphertext: Uint8Array,
): Promise<Secret | null> {
  return requireCapability(key, "decryptPkcs1")(ciphertext);
}

export async function agree(key: PrivateKey, peer: Uint8Array): Promise<Secret | null> {
  return requireCapability(key, "agree")(peer);
}

export async function sign(key: PrivateKey, message: Uint8Array): Promise<Uint8Array> {
  return requireCapability(key, "sign")(message);
}

export async function signPkcs1(key: PrivateKey, payload: Uint8Array): Promise<Uint8Array> {
  return requireCapability(key, "signPkcs1")(payload);
}
