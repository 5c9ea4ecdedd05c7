/** Hybrid TEST keys: one half is a TEST key, the ML-KEM seed is as published as that. */
import { concat } from "../../src/bytes.js";
import type { HybridKem, HybridPublicKey, Identity } from "../../src/keys/key.js";
import { mlKem } from "../../src/keys/ml-kem.js";
import { HYBRID_PARTS, publicKeyFromHybrid } from "../../src/keys/public-key.js";
import { Secret } from "../../src/secret.js";
import { hybridKey } from "../../src/wrap/hybrid-key.js";
import { identityOf } from "./identities.js";

export const HYBRID_KEMS = ["mlkem768-p256", "mlkem1024-p384", "mlkem768-x25519"] as const;

/** Those that messages have a stanza for. */
export const NATIVE_HYBRID_KEMS = ["mlkem768-p256", "mlkem1024-p384"] as const;

/** The TEST key that is a hybrid's half on its curve. */
export const HALVES = {
  "mlkem768-p256": "p256",
  "mlkem1024-p384": "p384",
  "mlkem768-x25519": "x25519",
} as const;

/** A hybrid's ML-KEM seed, 64 bytes. */
export function seedOf(kem: HybridKem): Uint8Array {
  return Uint8Array.from({ length: 64 }, (_, i) => (kem === "mlkem768-p256" ? i : 255 - i));
}

/** The identity of a hybrid TEST key in memory. */
export async function hybridIdentityOf(kem: HybridKem): Promise<Identity<HybridPublicKey>> {
  const half = identityOf(HALVES[kem]);
  if (half.publicKey.type === "rsa") throw new TypeError("the half is no key on a curve");
  const mlkem = (await mlKem()).publicKey(HYBRID_PARTS[kem].set, seedOf(kem));
  const publicKey = publicKeyFromHybrid(kem, concat(mlkem, half.publicKey.point));
  const unlock = async () => hybridKey(publicKey, await half.unlock(), new Secret(seedOf(kem)));
  return { publicKey, name: kem, unlock };
}
