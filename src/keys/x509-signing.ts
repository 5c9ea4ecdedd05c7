/**
 * Signatures as X.509 and CMS carry them: which algorithm a key signs with there, and the bytes of
 * the signature. ECDSA's is a SEQUENCE of r and s (RFC 5480 appendix A), not r‖s.
 */
import { createHash } from "node:crypto";
import { type AlgorithmIdentifier, DER_NULL, derAlgorithm } from "../asn1/algorithm-identifier.js";
import { der, derUnsigned, TAG } from "../asn1/der.js";
import type { PrivateKey, SigningPublicKey } from "./key.js";
import { requireCapability } from "./purpose.js";
import { PSS_SALT_BYTES } from "./signing.js";

export interface X509Signature {
  readonly algorithm: AlgorithmIdentifier;
  readonly value: Uint8Array;
}

/**
 * Signs `message`: with RSA by PKCS#1 v1.5 and SHA-256, which every CA and mail program knows, or
 * with PSS where the key does nothing else; with ECDSA and the hash that fits the curve; with
 * Ed25519.
 *
 * @throws TokenError `ERR_MECHANISM`: the key's holder can't sign; UnsupportedError as
 *   `signatureAlgorithm`
 */
export async function signForX509(
  key: PrivateKey<SigningPublicKey>,
  message: Uint8Array,
): Promise<X509Signature> {
  const { publicKey, signPkcs1 } = key;
  if (publicKey.type === "rsa" && signPkcs1 !== undefined) {
    const digest = createHash("sha256").update(message).digest();
    const info = der(TAG.sequence, derAlgorithm(SHA256), der(TAG.octetString, digest));
    return { algorithm: SHA256_WITH_RSA, value: await signPkcs1(info) };
  }
  const value = await requireCapability(key, "sign")(message);
  switch (publicKey.type) {
    case "rsa":
      return { algorithm: PSS_SHA256, value };
    case "ec":
      return {
        algorithm: publicKey.curve === "P-384" ? ECDSA_SHA384 : ECDSA_SHA256,
        value: ecdsaValue(value),
      };
    case "ed25519":
      return { algorithm: ED25519, value };
  }
}

/** From r‖s. */
function ecdsaValue(signature: Uint8Array): Uint8Array {
  const half = signature.length / 2;
  const [r, s] = [signature.subarray(0, half), signature.subarray(half)];
  return der(TAG.sequence, derUnsigned(r), derUnsigned(s));
}

/** RFC 8017 appendix B.1 and C; RFC 5758 §3.2; RFC 8410 §3. */
const SHA256: AlgorithmIdentifier = { oid: "2.16.840.1.101.3.4.2.1", parameters: DER_NULL };
const SHA256_WITH_RSA: AlgorithmIdentifier = {
  oid: "1.2.840.113549.1.1.11",
  parameters: DER_NULL,
};
const ECDSA_SHA256: AlgorithmIdentifier = { oid: "1.2.840.10045.4.3.2" };
const ECDSA_SHA384: AlgorithmIdentifier = { oid: "1.2.840.10045.4.3.3" };
const ED25519: AlgorithmIdentifier = { oid: "1.3.101.112" };

/** RSASSA-PSS-params (RFC 4055 §3.1): SHA-256, MGF1 with SHA-256, and the salt's length. */
const MGF1_SHA256: AlgorithmIdentifier = {
  oid: "1.2.840.113549.1.1.8",
  parameters: derAlgorithm(SHA256),
};
const PSS_SHA256: AlgorithmIdentifier = {
  oid: "1.2.840.113549.1.1.10",
  parameters: der(
    TAG.sequence,
    der(0xa0, derAlgorithm(SHA256)),
    der(0xa1, derAlgorithm(MGF1_SHA256)),
    der(0xa2, derUnsigned(Uint8Array.of(PSS_SALT_BYTES))),
  ),
};
