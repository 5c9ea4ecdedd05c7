/**
 * The hybrid KEMs of HPKE, 0x0050, 0x0051 and 0x647a (draft-ietf-hpke-pq-03): ML-KEM and
 * Diffie-Hellman, whose secrets one hash combines. Whoever breaks one of the two learns nothing.
 * The third is X-Wing (draft-connolly-cfrg-xwing-kem).
 *
 * draft-ietf-lamps-pq-composite-kem defines the same KEMs for certificates: the same keys,
 * ciphertexts, combiner and labels.
 */
import { createHash } from "node:crypto";
import type { KEM } from "hpke";
import { ascii, concat } from "../bytes.js";
import type { HybridKem, HybridPublicKey } from "../keys/key.js";
import { ML_KEM_BYTES, ML_KEM_SEED_BYTES, mlKem } from "../keys/ml-kem.js";
import { HYBRID_PARTS, publicKeyFromHybrid } from "../keys/public-key.js";
import { agreeWith, KEMS as CURVE_KEMS, NO_PRIVATE_KEYS } from "./hpke-parts.js";
import { recipientKey, recipientOf } from "./hpke-recipient.js";

/** Per KEM its number in HPKE, and what the combiner hashes last. */
const KEMS: Readonly<Record<HybridKem, { readonly id: number; readonly label: string }>> = {
  "mlkem768-p256": { id: 0x0050, label: "MLKEM768-P256" },
  "mlkem1024-p384": { id: 0x0051, label: "MLKEM1024-P384" },
  // X-Wing's label is a drawing of an X.
  "mlkem768-x25519": { id: 0x647a, label: "\\.//^\\" },
};

/** Bytes of an encapsulated secret: ML-KEM's ciphertext, then what Diffie-Hellman sends. */
export function hybridEncBytes(kem: HybridKem): number {
  return ML_KEM_BYTES[HYBRID_PARTS[kem].set].ciphertext + pointBytes(kem);
}

/** An encapsulated secret of the right length in its parts. */
export function splitEnc(
  kem: HybridKem,
  enc: Uint8Array,
): { readonly ciphertext: Uint8Array; readonly point: Uint8Array } {
  const { ciphertext: split } = ML_KEM_BYTES[HYBRID_PARTS[kem].set];
  return { ciphertext: enc.subarray(0, split), point: enc.subarray(split) };
}

/**
 * The shared secret, 32 bytes, out of both parts' secrets. The hash takes in what the curve's part
 * depends on; ML-KEM's own secret already depends on its ciphertext and key.
 *
 * @param point - the sender's ephemeral point
 */
export function combine(
  { kem, dh: own }: HybridPublicKey,
  mlkemSecret: Uint8Array,
  dh: Uint8Array,
  point: Uint8Array,
): Uint8Array {
  const hash = createHash("sha3-256").update(mlkemSecret).update(dh).update(point);
  return new Uint8Array(hash.update(own.point).update(ascii(KEMS[kem].label)).digest());
}

/** The KEM as the `hpke` package wants it, as far as public keys go; `Decap` is the caller's. */
export function hybridKem(kem: HybridKem): KEM {
  const keyBytes = ML_KEM_BYTES[HYBRID_PARTS[kem].set].publicKey + pointBytes(kem);
  return {
    ...{ id: KEMS[kem].id, type: "KEM", name: HYBRID_PARTS[kem].name },
    ...{ Nsecret: 32, Nenc: hybridEncBytes(kem), Npk: keyBytes, Nsk: ML_KEM_SEED_BYTES },
    DeserializePublicKey: (key) => Promise.resolve(recipientKey(publicKeyFromHybrid(kem, key))),
    SerializePublicKey: (key) => {
      const { mlkem, dh } = recipientOf(key, "hybrid");
      return Promise.resolve(concat(mlkem, dh.point));
    },
    Encap: async (key) => encapsulate(recipientOf(key, "hybrid")),
    ...NO_PRIVATE_KEYS,
  };
}

async function encapsulate(
  recipient: HybridPublicKey,
): Promise<{ enc: Uint8Array; shared_secret: Uint8Array }> {
  const { set } = HYBRID_PARTS[recipient.kem];
  const { shared, ciphertext } = (await mlKem()).encapsulate(set, recipient.mlkem);
  const { enc: point, dh } = agreeWith(recipient.dh);
  try {
    return {
      enc: concat(ciphertext, point),
      shared_secret: combine(recipient, shared, dh, point),
    };
  } finally {
    shared.fill(0);
    dh.fill(0);
  }
}

function pointBytes(kem: HybridKem): number {
  return CURVE_KEMS[HYBRID_PARTS[kem].curve].encBytes;
}
