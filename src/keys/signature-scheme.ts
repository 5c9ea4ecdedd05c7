/**
 * Signatures as certificates, CRLs and CMS messages have them: an AlgorithmIdentifier beside each
 * says how it was made (RFC 3279, 4055, 5758, 8410, 8419). Messages of p11seal's own format have no
 * such choice (`signing.ts`).
 */
import { constants, verify } from "node:crypto";
import { DER_NULL, readAlgorithm, type AlgorithmIdentifier } from "../asn1/algorithm-identifier.js";
import { DerReader } from "../asn1/der.js";
import { equal } from "../bytes.js";
import { FormatError, UnsupportedError } from "../errors.js";
import type { PublicKey } from "./key.js";

/** A hash that signatures are made over, as `node:crypto` calls it. */
export type SignatureDigest = "sha1" | "sha224" | "sha256" | "sha384" | "sha512";

/** How a signature was made. */
export interface SignatureScheme {
  readonly type: "rsa-pkcs1" | "rsa-pss" | "ecdsa" | "ed25519";
  /** What the message is hashed with first; `null` for Ed25519, which signs the message itself. */
  readonly digest: SignatureDigest | null;
  /** Of RSASSA-PSS: the salt's length, bytes. */
  readonly saltBytes?: number;
  /** For people, as in `ECDSA SHA-384`. */
  readonly name: string;
}

/**
 * The scheme that an AlgorithmIdentifier names. SHA-1 is one: whether to believe it is the caller's
 * decision.
 *
 * @param digest - what the message was hashed with, where that is said elsewhere: in CMS, the
 *   identifier may be the bare key's (RFC 3370 §3.2). In certificates it may not.
 * @throws UnsupportedError `ERR_SIGNATURE_ALGORITHM`: DSA, MD5 and whatever else is not verified
 *   here; FormatError `ERR_SIGNATURE_ALGORITHM`: parameters that don't belong there; `ERR_DER`
 */
export function signatureScheme(
  algorithm: AlgorithmIdentifier,
  digest?: SignatureDigest,
): SignatureScheme {
  const { oid } = algorithm;
  if (oid === RSA_PSS) return pssScheme(algorithm);
  const [type, ownDigest] =
    SCHEMES[oid] ?? (digest && BARE_KEYS[oid] ? [BARE_KEYS[oid], digest] : []);
  if (type === undefined || ownDigest === undefined) {
    throw new UnsupportedError(
      "ERR_SIGNATURE_ALGORITHM",
      `signature algorithm ${REFUSED[oid] ?? oid} is not supported`,
      { hint: "signatures with RSA, ECDSA or Ed25519 and SHA-2 can be checked" },
    );
  }
  requireNoParameters(algorithm, type);
  const name = ownDigest === null ? "Ed25519" : `${FAMILY[type]} ${digestName(ownDigest)}`;
  return { type, digest: ownDigest, name };
}

/**
 * The hash that an AlgorithmIdentifier names (RFC 5754 §2); undefined for others, MD5 among them.
 *
 * @throws FormatError `ERR_SIGNATURE_ALGORITHM`: parameters other than NULL
 */
export function signatureDigest(algorithm: AlgorithmIdentifier): SignatureDigest | undefined {
  const digest = DIGESTS[algorithm.oid];
  if (digest !== undefined) requireNoParameters(algorithm, "rsa-pkcs1");
  return digest;
}

/** The hash for people, as in `SHA-256`. */
export function digestName(digest: SignatureDigest): string {
  return digest.toUpperCase().replace("SHA", "SHA-");
}

/** Bytes of the hash. */
export const DIGEST_BYTES: Readonly<Record<SignatureDigest, number>> = {
  sha1: 20,
  sha224: 28,
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** True when `signature` is `key`'s over `message`; false also for a key of another kind. */
export function schemeVerifies(
  { type, digest, saltBytes }: SignatureScheme,
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (key.type !== KEY_TYPE[type]) return false;
  const { object } = key;
  // RFC 8017 §8.1.2 and §8.2.2: a signature is as long as the modulus.
  if (key.type === "rsa" && signature.length !== key.modulus.length) return false;
  try {
    switch (type) {
      case "rsa-pss": {
        const padding = constants.RSA_PKCS1_PSS_PADDING;
        return verify(digest, message, { key: object, padding, saltLength: saltBytes }, signature);
      }
      case "rsa-pkcs1":
        return verify(
          digest,
          message,
          { key: object, padding: constants.RSA_PKCS1_PADDING },
          signature,
        );
      case "ecdsa":
        return verify(digest, message, { key: object, dsaEncoding: "der" }, signature);
      case "ed25519":
        return verify(null, message, object, signature);
    }
  } catch {
    return false;
  }
}

/** RSASSA-PSS-params (RFC 4055 §3.1). They must be there, in signatures. */
function pssScheme({ parameters }: AlgorithmIdentifier): SignatureScheme {
  if (parameters === undefined) throw misfit("RSASSA-PSS has no parameters");
  const file = new DerReader(parameters, "RSASSA-PSS parameters");
  const fields = file.sequence();
  file.end();
  const hash = fields.optional(0xa0);
  const digest = hash === undefined ? "sha1" : onlyDigest(hash);
  const mgf = fields.optional(0xa1);
  const mgfDigest = mgf === undefined ? "sha1" : mgf1Digest(mgf);
  const saltBytes = shortNumber(fields.optional(0xa2), 20);
  const trailer = shortNumber(fields.optional(0xa3), 1);
  fields.end();
  if (mgfDigest !== digest || trailer !== 1) {
    throw new UnsupportedError(
      "ERR_SIGNATURE_ALGORITHM",
      "RSASSA-PSS with two different hashes, or with another trailer, is not supported",
    );
  }
  return { type: "rsa-pss", digest, saltBytes, name: `RSA-PSS ${digestName(digest)}` };
}

function onlyDigest(reader: DerReader): SignatureDigest {
  const algorithm = readAlgorithm(reader);
  reader.end();
  const digest = signatureDigest(algorithm);
  if (digest !== undefined) return digest;
  throw new UnsupportedError(
    "ERR_SIGNATURE_ALGORITHM",
    `RSASSA-PSS with hash ${REFUSED[algorithm.oid] ?? algorithm.oid} is not supported`,
  );
}

function mgf1Digest(reader: DerReader): SignatureDigest {
  const { oid, parameters } = readAlgorithm(reader);
  reader.end();
  if (oid !== MGF1 || parameters === undefined)
    throw misfit("RSASSA-PSS has a mask that is not MGF1");
  return onlyDigest(new DerReader(parameters, "RSASSA-PSS parameters"));
}

function shortNumber(reader: DerReader | undefined, otherwise: number): number {
  if (reader === undefined) return otherwise;
  const bytes = reader.unsigned();
  reader.end();
  if (bytes.length > 2) throw misfit("RSASSA-PSS parameters have a number that is too large");
  return bytes.reduce((number, byte) => number * 256 + byte, 0);
}

/** NULL is accepted where old software writes it; RFC 8410 §3 rules it out for Ed25519. */
function requireNoParameters(
  { oid, parameters }: AlgorithmIdentifier,
  type: SignatureScheme["type"],
): void {
  if (parameters === undefined || BARE_KEYS[oid] === "ecdsa") return;
  if (type !== "ed25519" && equal(parameters, DER_NULL)) return;
  throw misfit(`algorithm ${oid} has parameters that don't belong there`);
}

function misfit(message: string): FormatError {
  return new FormatError("ERR_SIGNATURE_ALGORITHM", message);
}

const KEY_TYPE = { "rsa-pkcs1": "rsa", "rsa-pss": "rsa", ecdsa: "ec", ed25519: "ed25519" } as const;
const FAMILY = { "rsa-pkcs1": "RSA", "rsa-pss": "RSA-PSS", ecdsa: "ECDSA", ed25519: "" } as const;

const RSA_PSS = "1.2.840.113549.1.1.10";
const MGF1 = "1.2.840.113549.1.1.8";

const SCHEMES: Readonly<
  Record<string, readonly [SignatureScheme["type"], SignatureDigest | null]>
> = {
  "1.2.840.113549.1.1.5": ["rsa-pkcs1", "sha1"],
  "1.3.14.3.2.29": ["rsa-pkcs1", "sha1"],
  "1.2.840.113549.1.1.14": ["rsa-pkcs1", "sha224"],
  "1.2.840.113549.1.1.11": ["rsa-pkcs1", "sha256"],
  "1.2.840.113549.1.1.12": ["rsa-pkcs1", "sha384"],
  "1.2.840.113549.1.1.13": ["rsa-pkcs1", "sha512"],
  "1.2.840.10045.4.1": ["ecdsa", "sha1"],
  "1.2.840.10045.4.3.1": ["ecdsa", "sha224"],
  "1.2.840.10045.4.3.2": ["ecdsa", "sha256"],
  "1.2.840.10045.4.3.3": ["ecdsa", "sha384"],
  "1.2.840.10045.4.3.4": ["ecdsa", "sha512"],
  "1.3.101.112": ["ed25519", null],
};

/** Of keys, where a CMS message may have one in place of a signature algorithm. */
const BARE_KEYS: Readonly<Record<string, "rsa-pkcs1" | "ecdsa">> = {
  "1.2.840.113549.1.1.1": "rsa-pkcs1",
  "1.2.840.10045.2.1": "ecdsa",
};

const DIGESTS: Readonly<Record<string, SignatureDigest>> = {
  "1.3.14.3.2.26": "sha1",
  "2.16.840.1.101.3.4.2.4": "sha224",
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};

/** Names of what is refused, for messages. */
const REFUSED: Readonly<Record<string, string>> = {
  "1.2.840.113549.2.2": "MD2",
  "1.2.840.113549.2.4": "MD4",
  "1.2.840.113549.2.5": "MD5",
  "1.2.840.113549.1.1.2": "RSA MD2",
  "1.2.840.113549.1.1.3": "RSA MD4",
  "1.2.840.113549.1.1.4": "RSA MD5",
  "1.2.840.10040.4.1": "DSA",
  "1.2.840.10040.4.3": "DSA SHA-1",
  "2.16.840.1.101.3.4.3.1": "DSA SHA-224",
  "2.16.840.1.101.3.4.3.2": "DSA SHA-256",
  "1.3.101.113": "Ed448",
  "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
  "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
  "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
};
