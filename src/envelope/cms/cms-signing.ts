/**
 * One signature for a CMS message: which algorithms a key signs with there, and the signature value
 * (RFC 3370 §3, RFC 4056, RFC 5753 §2, RFC 8419). Keys sign as they do for p11seal's own messages;
 * only an RSA key has a choice, and PKCS#1 v1.5 is what every peer can check.
 */
import { createHash } from "node:crypto";
import {
  derAlgorithm,
  DER_NULL,
  type AlgorithmIdentifier,
} from "../../asn1/algorithm-identifier.js";
import { der, derUnsigned, TAG } from "../../asn1/der.js";
import { TokenError, UnsupportedError } from "../../errors.js";
import type { PrivateKey, PublicKey } from "../../keys/key.js";
import { requireCapability } from "../../keys/purpose.js";
import {
  schemeVerifies,
  signatureScheme,
  type SignatureDigest,
} from "../../keys/signature-scheme.js";
import { PSS_SALT_BYTES, signatureAlgorithm } from "../../keys/signing.js";

export interface CmsSigning {
  /** What the content is hashed with. */
  readonly digest: Exclude<SignatureDigest, "sha1" | "sha224">;
  readonly digestAlgorithm: AlgorithmIdentifier;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  /**
   * Signs, and checks the signature.
   *
   * @throws TokenError
   */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/**
 * How `key` signs.
 *
 * @param options - `pss`: RSASSA-PSS; by default it is used where the key can't do PKCS#1 v1.5
 * @throws UnsupportedError `ERR_SIGNING_KEY`, `ERR_KEY_SIZE`; TokenError `ERR_MECHANISM`
 */
export function cmsSigning(key: PrivateKey, options: { readonly pss?: boolean } = {}): CmsSigning {
  const { publicKey } = key;
  const { hash } = signatureAlgorithm(publicKey);
  switch (publicKey.type) {
    case "rsa": {
      const isPss = options.pss ?? key.signPkcs1 === undefined;
      if (isPss) return signing(publicKey, "sha256", PSS_SHA256, requireCapability(key, "sign"));
      const sign = requireCapability(key, "signPkcs1");
      return signing(publicKey, "sha256", RSA, (message) => sign(sha256DigestInfo(message)));
    }
    case "ec": {
      const digest = hash === "sha384" ? "sha384" : "sha256";
      const sign = requireCapability(key, "sign");
      const oid = ECDSA[digest];
      return signing(publicKey, digest, { oid }, async (message) =>
        ecdsaValue(await sign(message)),
      );
    }
    case "ed25519":
      return signing(publicKey, "sha512", { oid: ED25519 }, requireCapability(key, "sign"));
    case "x25519":
    case "hybrid":
      throw new UnsupportedError("ERR_SIGNING_KEY", `a key of type ${publicKey.type} can't sign`);
  }
}

function signing(
  publicKey: PublicKey,
  digest: CmsSigning["digest"],
  algorithm: AlgorithmIdentifier,
  sign: (message: Uint8Array) => Promise<Uint8Array>,
): CmsSigning {
  const scheme = signatureScheme(algorithm, digest);
  return {
    digest,
    digestAlgorithm: { oid: DIGEST[digest] },
    signatureAlgorithm: algorithm,
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

/** Ecdsa-Sig-Value (RFC 3279 §2.2.3) of r‖s. */
function ecdsaValue(rs: Uint8Array): Uint8Array {
  const half = rs.length / 2;
  return der(TAG.sequence, derUnsigned(rs.subarray(0, half)), derUnsigned(rs.subarray(half)));
}

/** RFC 8017 §9.2, note 1. */
function sha256DigestInfo(message: Uint8Array): Uint8Array {
  const digest = createHash("sha256").update(message).digest();
  const algorithm = derAlgorithm({ oid: DIGEST.sha256, parameters: DER_NULL });
  return der(TAG.sequence, algorithm, der(TAG.octetString, digest));
}

const DIGEST = {
  sha256: "2.16.840.1.101.3.4.2.1",
  sha384: "2.16.840.1.101.3.4.2.2",
  sha512: "2.16.840.1.101.3.4.2.3",
} as const;

const ECDSA = { sha256: "1.2.840.10045.4.3.2", sha384: "1.2.840.10045.4.3.3" } as const;
const ED25519 = "1.3.101.112";

/** RFC 3370 §3.2: the bare key's identifier, which all peers take. */
const RSA: AlgorithmIdentifier = { oid: "1.2.840.113549.1.1.1", parameters: DER_NULL };

const SHA256_WITH_NULL: AlgorithmIdentifier = { oid: DIGEST.sha256, parameters: DER_NULL };

/** RFC 4055 §3.1: SHA-256, MGF1 with SHA-256, a salt as long as the hash. */
const PSS_SHA256: AlgorithmIdentifier = {
  oid: "1.2.840.113549.1.1.10",
  parameters: der(
    TAG.sequence,
    der(0xa0, derAlgorithm(SHA256_WITH_NULL)),
    der(
      0xa1,
      derAlgorithm({ oid: "1.2.840.113549.1.1.8", parameters: derAlgorithm(SHA256_WITH_NULL) }),
    ),
    der(0xa2, derUnsigned(Uint8Array.of(PSS_SALT_BYTES))),
  ),
};
