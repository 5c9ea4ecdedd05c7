/** Private keys for `node:crypto` from the bare number that some formats have. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { concat, fromHex } from "../bytes.js";
import { der, TAG } from "../asn1/der.js";
import { CURVES } from "../keys/formats/spki.js";
import type { EcCurve } from "../keys/key.js";

/**
 * The private key of a scalar, as long as the curve's field; OpenSSL computes the point.
 *
 * @param scalar - the caller's to wipe
 */
export function privateKeyOf(curve: EcCurve | "X25519", scalar: Uint8Array): KeyObject {
  const key = Buffer.from(
    curve === "X25519" ? concat(X25519_PKCS8, scalar) : ecPkcs8(CURVES[curve].oid, scalar),
  );
  try {
    return createPrivateKey({ key, format: "der", type: "pkcs8" });
  } finally {
    key.fill(0);
  }
}

/** PKCS#8 around RFC 5915 §3. */
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

/** RFC 8410 §7: everything before the 32 bytes of an X25519 key. */
const X25519_PKCS8 = fromHex("302e020100300506032b656e04220420");
