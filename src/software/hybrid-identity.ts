/** Identities of hybrid keys with both halves in memory, from HPKE's seed of 32 bytes. */
import { concat } from "../bytes.js";
import { publicHalfOf } from "../keys/formats/private-file.js";
import type { HybridKem, HybridPublicKey, Identity } from "../keys/key.js";
import { mlKem } from "../keys/ml-kem.js";
import { HYBRID_PARTS, publicKeyFromHybrid } from "../keys/public-key.js";
import type { Secret } from "../secret.js";
import { expandSeed, hybridKey } from "../wrap/hybrid-key.js";
import { privateKeyOf } from "./bare-key.js";
import { softwareKey } from "./software-key.js";

/**
 * The identity of a hybrid private key.
 *
 * @param seed - 32 bytes; the caller's to wipe
 * @param name - how messages call it; public
 * @throws FormatError `ERR_PRIVATE_KEY`
 */
export async function hybridSeedIdentity(
  kem: HybridKem,
  seed: Secret,
  name: string,
): Promise<Identity<HybridPublicKey>> {
  const { set, curve } = HYBRID_PARTS[kem];
  const { mlkem, scalar } = expandSeed(kem, seed);
  const object = privateKeyOf(curve, scalar.expose());
  scalar.wipe();
  const half = publicHalfOf(object);
  if (half.type !== "ec" && half.type !== "x25519") throw new TypeError("a key of another curve");
  const key = concat((await mlKem()).publicKey(set, mlkem.expose()), half.point);
  const publicKey = publicKeyFromHybrid(kem, key);
  const privateKey = await hybridKey(publicKey, softwareKey(object, half), mlkem);
  return { publicKey, name, unlock: () => Promise.resolve(privateKey) };
}
