/**
 * Signatures as X.509 and CMS carry them: which algorithm a key signs with there, and the bytes of
 * the signature. ECDSA's is a SEQUENCE of r and s (RFC 5480 appendix A), not r‖s. Only an RSA key
 * has a choice; PKCS#1 v1.5 and SHA-256 is what every CA and mail program can check.
 */
import { createHash } from "node:crypto";
import { type AlgorithmIdentifier, DER_NULL, derAlgorithm } from "../asn1/algorithm-identifier.js";
import { der, derUnsigned, TAG } from "../asn1/der.js";
import { TokenError } from "../errors.js";
import type { PrivateKey, SigningPublicKey } from "./key.js";
import { requireCapability } from "./purpose.js";
import { schemeVerifies, signatureScheme } from "./signature-scheme.js";
import { PSS_SALT_BYTES, signatureAlgorithm } from "./signing.js";

/** How one key signs. */
export interface X509Signing {
  readonly algorithm: AlgorithmIdentifier;
  /** What is hashed before it is signed; `null` for Ed25519. */
  readonly digest: "sha256" | "sha384" | null;
  /**
   * Signs, and checks the signature.
   *
   * @throws TokenError `ERR_BAD_SIGNATURE`, and what the key throws
   */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/**
 * @param options - `pss`: with an RSA key, RSASSA-PSS; by default only where the key does nothing
 *   else
 * @throws TokenError `ERR_MECHANISM`: the key's holder can't sign; UnsupportedError as
 *   `signatureAlgorithm`
 */
export function x509Signing(
  key: PrivateKey<SigningPublicKey>,
  options: { readonly pss?: boolean | undefined } = {},
): X509Signing {
  const { publicKey } = key;
  const { hash } = signatureAlgorithm(publicKey);
  switch (publicKey.type) {
    case "rsa": {
      const { pss = key.signPkcs1 === undefined } = options;
      if (pss) return checked(publicKey, PSS_SHA256, requireCapability(key, "sign"));
      const sign = requireCapability(key, "signPkcs1");
      return checked(publicKey, SHA256_WITH_RSA, (message) => sign(digestInfo(message)));
    }
    case "ec": {
      const sign = requireCapability(key, "sign");
      const algorithm = hash === "sha384" ? ECDSA_SHA384 : ECDSA_SHA256;
      return checked(publicKey, algorithm, async (message) => ecdsaValue(await sign(message)));
    }
    case "ed25519":
      return checked(publicKey, ED25519, requireCapability(key, "sign"));
  }
}

function checked(
  publicKey: SigningPublicKey,
  algorithm: AlgorithmIdentifier,
  sign: X509Signing["sign"],
): X509Signing {
  const scheme = signatureScheme(algorithm);
  return {
    algorithm,
    digest: scheme.digest as X509Signing["digest"],
    async sign(message) {
      const signature = await sign(message);
      if (schemeVerifies(scheme, publicKey, message, signature)) return signature;
      throw new TokenError(
        "ERR_BAD_SIGNATURE",
        "the signing key made a signature that does not hold",
        { hint: "the private key does not belong to the public key found with it" },
      );
    },
  };
}

/** Of SHA-256: RFC 8017 §9.2, note 1. */
function digestInfo(message: Uint8Array): Uint8Array {
  const digest = createHash("sha256").update(message).digest();
  return der(TAG.sequence, derAlgorithm(SHA256), der(TAG.octetString, digest));
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
