/**
 * The frame that certificates (RFC 5280 §4.1.1), CRLs (§5.1.1) and OCSP responses (RFC 6960
 * §4.2.1) have in common: a SEQUENCE that is signed, the algorithm, and the signature.
 */
import {
  readAlgorithm,
  sameAlgorithm,
  type AlgorithmIdentifier,
} from "../asn1/algorithm-identifier.js";
import { DerReader, TAG } from "../asn1/der.js";
import { FormatError } from "../errors.js";

export interface SignedValue {
  /** The bytes that are signed: TBSCertificate, TBSCertList or ResponseData, whole. */
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
}

/** Reads the three fields, the next ones of `fields`. Throws as `DerReader`. */
export function readSignedFields(fields: DerReader): SignedValue {
  const tbs = fields.next(TAG.sequence);
  const signatureAlgorithm = readAlgorithm(fields);
  const signature = fields.bitString();
  return { tbs, signatureAlgorithm, signature };
}

/** Reads `bytes` that are a signed value and nothing else; `what` names it in messages. */
export function readSigned(bytes: Uint8Array, what: string): SignedValue {
  const file = new DerReader(bytes, what);
  const fields = file.sequence();
  file.end();
  const signed = readSignedFields(fields);
  fields.end();
  return signed;
}

/** Reads the algorithm that a signed value names once more among its signed fields. */
export function requireSameAlgorithm(
  fields: DerReader,
  { signatureAlgorithm }: SignedValue,
  what: string,
): void {
  if (sameAlgorithm(readAlgorithm(fields), signatureAlgorithm)) return;
  throw new FormatError("ERR_DER", `${what} names two signature algorithms`);
}
