/** The object identifiers of CMS (RFC 5652), its algorithms and content types, dotted. */
import type { EcCurve, OaepHash } from "../../keys/key.js";
import type { KekDerivation } from "../../wrap/key-agreement.js";

export const CONTENT_TYPES = {
  data: "1.2.840.113549.1.7.1",
  signedData: "1.2.840.113549.1.7.2",
  envelopedData: "1.2.840.113549.1.7.3",
  authEnvelopedData: "1.2.840.113549.1.9.16.1.23",
} as const;

/** RSA as a way to transport a key (RFC 8017 §C, RFC 3560). */
export const RSA_OIDS = {
  pkcs1: "1.2.840.113549.1.1.1",
  oaep: "1.2.840.113549.1.1.7",
  mgf1: "1.2.840.113549.1.1.8",
  labelSpecified: "1.2.840.113549.1.1.9",
} as const;

export const HASH_OIDS: Readonly<Record<OaepHash, string>> = {
  sha1: "1.3.14.3.2.26",
  sha256: "2.16.840.1.101.3.4.2.1",
  sha384: "2.16.840.1.101.3.4.2.2",
  sha512: "2.16.840.1.101.3.4.2.3",
};

/** Keys that agree, as an originator's key names them. */
export const EC_PUBLIC_KEY_OID = "1.2.840.10045.2.1";
export const X25519_OID = "1.3.101.110";

/** How an agreement and the derivation of its key-encryption key are named together. */
export interface AgreementScheme {
  readonly oid: string;
  readonly derivation: KekDerivation;
}

/** What messages are written with: a hash as strong as the curve (RFC 5753 §8, RFC 8418 §2). */
export const AGREEMENT_SCHEMES: Readonly<Record<EcCurve | "X25519", AgreementScheme>> = {
  "P-256": { oid: "1.3.132.1.11.1", derivation: { kdf: "x963", hash: "sha256" } },
  "P-384": { oid: "1.3.132.1.11.2", derivation: { kdf: "x963", hash: "sha384" } },
  "P-521": { oid: "1.3.132.1.11.3", derivation: { kdf: "x963", hash: "sha512" } },
  X25519: { oid: "1.2.840.113549.1.9.16.3.19", derivation: { kdf: "hkdf", hash: "sha256" } },
};

export const AES_256_WRAP_OID = "2.16.840.1.101.3.4.1.45";
export const AES_256_CBC_OID = "2.16.840.1.101.3.4.1.42";
export const AES_256_GCM_OID = "2.16.840.1.101.3.4.1.46";
