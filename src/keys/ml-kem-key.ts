/** ML-KEM keys that stand alone (RFC 9935). */
import { createHash } from "node:crypto";
import { derAlgorithm } from "../asn1/algorithm-identifier.js";
import { der, TAG } from "../asn1/der.js";
import type { MlKemPublicKey } from "./key.js";
import { ML_KEM_OIDS, requireMlKemKey, type MlKemSet } from "./ml-kem.js";

/**
 * The key of an encapsulation key (FIPS 203 §7.1).
 *
 * @throws FormatError `ERR_KEY`
 */
export function mlKemPublicKey(set: MlKemSet, mlkem: Uint8Array): MlKemPublicKey {
  requireMlKemKey(set, mlkem);
  const bits = der(TAG.bitString, Uint8Array.of(0), mlkem);
  const spki = der(TAG.sequence, derAlgorithm({ oid: ML_KEM_OIDS[set] }), bits);
  const fingerprint = new Uint8Array(createHash("sha256").update(spki).digest());
  return { type: "ml-kem", set, mlkem, spki, fingerprint };
}
