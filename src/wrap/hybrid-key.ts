/**
 * Hybrid private keys: put together from their halves, one that agrees on its curve, on a token or
 * in memory, and an ML-KEM seed in memory; and how both halves in memory come from one seed.
 */
import { createHash } from "node:crypto";
import { equal, fromHex } from "../bytes.js";
import { FormatError } from "../errors.js";
import type { HybridKem, HybridPublicKey, PrivateKey } from "../keys/key.js";
import { ML_KEM_SEED_BYTES, mlKem } from "../keys/ml-kem.js";
import { HYBRID_PARTS } from "../keys/public-key.js";
import { requireCapability } from "../keys/purpose.js";
import { Secret } from "../secret.js";
import { agreed } from "./hpke.js";
import { combine, hybridEncBytes, splitEnc } from "./hybrid-kem.js";

/**
 * The private key of `publicKey`.
 *
 * @param half - the private key of `publicKey.dh`
 * @param seed - `d ‖ z` (FIPS 203), 64 bytes; in use as long as the key is, and the caller's to
 *   wipe
 * @throws FormatError `ERR_PRIVATE_KEY`: a half is another key's; as `requireCapability` where the
 *   curve's half can't agree
 */
export async function hybridKey(
  publicKey: HybridPublicKey,
  half: PrivateKey,
  seed: Secret,
): Promise<PrivateKey<HybridPublicKey>> {
  const { kem } = publicKey;
  const { set, curve } = HYBRID_PARTS[kem];
  const agree = requireCapability(half, "agree");
  if (!equal(half.publicKey.fingerprint, publicKey.dh.fingerprint)) throw otherKey(curve);
  const algorithm = await mlKem();
  const isOwn =
    seed.length === ML_KEM_SEED_BYTES &&
    equal(algorithm.publicKey(set, seed.expose()), publicKey.mlkem);
  if (!isOwn) throw otherKey("ML-KEM");
  return {
    publicKey,
    decapsulate: async (enc, options) => {
      if (enc.length !== hybridEncBytes(kem)) return null;
      const { ciphertext, point } = splitEnc(kem, enc);
      const dh = await agreed(curve, agree, point, options);
      if (dh === null) return null;
      const secret = algorithm.decapsulate(set, seed.expose(), ciphertext);
      try {
        return new Secret(combine(publicKey, secret, dh.expose(), point));
      } finally {
        secret.fill(0);
        dh.wipe();
      }
    },
  };
}

function otherKey(half: string): FormatError {
  return new FormatError("ERR_PRIVATE_KEY", `the ${half} half is not the hybrid key's`);
}

/**
 * The halves of a private key in HPKE's form, a seed of 32 bytes (draft-ietf-hpke-pq-03,
 * `expandDecapsulationKey`): an ML-KEM seed, and a scalar of the curve. The caller wipes both.
 *
 * @throws FormatError `ERR_PRIVATE_KEY`: another length, or one of the seeds that give no scalar
 *   (less than one in 2^128)
 */
export function expandSeed(kem: HybridKem, seed: Secret): { mlkem: Secret; scalar: Secret } {
  if (seed.length !== HYBRID_SEED_BYTES) {
    throw new FormatError("ERR_PRIVATE_KEY", `a hybrid private key is a seed of 32 bytes`);
  }
  const { curve } = HYBRID_PARTS[kem];
  const { bytes, draws, order } = SCALARS[curve];
  const outputLength = ML_KEM_SEED_BYTES + draws * bytes;
  const stream = createHash("shake256", { outputLength }).update(seed.expose()).digest();
  try {
    for (let at = ML_KEM_SEED_BYTES; at < outputLength; at += bytes) {
      const drawn = stream.subarray(at, at + bytes);
      const isScalar = order === undefined || (!isZero(drawn) && Buffer.compare(drawn, order) < 0);
      if (!isScalar) continue;
      const mlkem = new Secret(new Uint8Array(stream.subarray(0, ML_KEM_SEED_BYTES)));
      return { mlkem, scalar: new Secret(new Uint8Array(drawn)) };
    }
  } finally {
    stream.fill(0);
  }
  throw new FormatError("ERR_PRIVATE_KEY", "the seed gives no private key");
}

/** Bytes of a hybrid private key in HPKE's form. */
export const HYBRID_SEED_BYTES = 32;

/** Per curve a scalar's bytes, how many are drawn until one is in range, and what it is below. */
const SCALARS: Readonly<
  Record<
    "P-256" | "P-384" | "X25519",
    { bytes: number; draws: number; order: Uint8Array | undefined }
  >
> = {
  "P-256": {
    bytes: 32,
    draws: 4,
    order: fromHex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
  },
  "P-384": {
    bytes: 48,
    draws: 1,
    order: fromHex(
      "ffffffffffffffffffffffffffffffffffffffffffffffff" +
        "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    ),
  },
  X25519: { bytes: 32, draws: 1, order: undefined },
};

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
