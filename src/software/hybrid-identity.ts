/** Identities of hybrid keys with both halves in memory, from HPKE's seed of 32 bytes. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { concat, fromHex } from "../bytes.js";
import { der, TAG } from "../keys/formats/der.js";
import { publicHalfOf } from "../keys/formats/private-file.js";
import { CURVES } from "../keys/formats/spki.js";
import type { HybridKem, HybridPublicKey, Identity } from "../keys/key.js";
import { mlKem } from "../keys/ml-kem.js";
import { HYBRID_PARTS, publicKeyFromHybrid } from "../keys/public-key.js";
import type { Secret } from "../secret.js";
import { expandSeed, hybridKey } from "../wrap/hybrid-key.js";
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
  const object = objectOf(curve, scalar.expose());
  scalar.wipe();
  const half = publicHalfOf(object);
  if (half.type !== "ec" && half.type !== "x25519") throw new TypeError("a key of another curve");
  const key = concat((await mlKem()).publicKey(set, mlkem.expose()), half.point);
  const publicKey = publicKeyFromHybrid(kem, key);
  const privateKey = await hybridKey(publicKey, softwareKey(object, half), mlkem);
  return { publicKey, name, unlock: () => Promise.resolve(privateKey) };
}

/** PKCS#8 around the bare scalar (RFC 5915 §3, RFC 8410 §7); OpenSSL computes the point. */
function objectOf(curve: "P-256" | "P-384" | "X25519", scalar: Uint8Array): KeyObject {
  const key = Buffer.from(
    curve === "X25519" ? concat(X25519_PKCS8, scalar) : ecPkcs8(CURVES[curve].oid, scalar),
  );
  try {
    return createPrivateKey({ key, format: "der", type: "pkcs8" });
  } finally {
    key.fill(0);
  }
}

function ecPkcs8(curveOid: string, scalar: Uint8Array): Uint8Array {
  const algorithm = der(
    TAG.sequence,
    der(TAG.oid, fromHex("2a8648ce3d0201")),
    der(TAG.oid, fromHex(curveOid)),
  );
  const inner = der(TAG.sequence, der(TAG.integer, Uint8Array.of(1)), der(TAG.octetString, scalar));
  const version = der(TAG.integer, Uint8Array.of(0));
  return der(TAG.sequence, version, algorithm, der(TAG.octetString, inner));
}

const X25519_PKCS8 = fromHex("302e020100300506032b656e04220420");
