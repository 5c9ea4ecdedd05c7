/** How a key signs CMS messages (RFC 3370 §3, RFC 4056, RFC 5753 §2, RFC 8419). */
import { DER_NULL, type AlgorithmIdentifier } from "../../asn1/algorithm-identifier.js";
import type { PrivateKey, SigningPublicKey } from "../../keys/key.js";
import { requireKind } from "../../keys/purpose.js";
import { x509Signing } from "../../keys/x509-signing.js";

export interface CmsSigning {
  /** What the content is hashed with. */
  readonly digest: keyof typeof DIGESTS;
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
 * @param options - `pss`: RSASSA-PSS; by default it is used where the key can't do PKCS#1 v1.5
 * @throws UnsupportedError `ERR_SIGNING_KEY`, `ERR_KEY_SIZE`; TokenError `ERR_MECHANISM`
 */
export function cmsSigning(
  key: PrivateKey,
  options: { readonly pss?: boolean | undefined } = {},
): CmsSigning {
  requireKind(key.publicKey, "sign", "the key");
  const signing = x509Signing(key as PrivateKey<SigningPublicKey>, options);
  // RFC 8419 §3.1: beside Ed25519 stands SHA-512.
  const digest = signing.digest ?? "sha512";
  const { algorithm } = signing;
  return {
    digest,
    digestAlgorithm: { oid: DIGESTS[digest] },
    signatureAlgorithm: algorithm.oid === SHA256_WITH_RSA ? RSA : algorithm,
    sign: (message) => signing.sign(message),
  };
}

const DIGESTS = {
  sha256: "2.16.840.1.101.3.4.2.1",
  sha384: "2.16.840.1.101.3.4.2.2",
  sha512: "2.16.840.1.101.3.4.2.3",
} as const;

const SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
/** RFC 3370 §3.2: the bare key's identifier, which all peers take. */
const RSA: AlgorithmIdentifier = { oid: "1.2.840.113549.1.1.1", parameters: DER_NULL };
