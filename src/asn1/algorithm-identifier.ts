/**
 * AlgorithmIdentifier (RFC 5280 §4.1.1.2): an algorithm by its OID, with or without parameters.
 */
import { equal } from "../bytes.js";
import { der, TAG, type DerReader } from "./der.js";
import { derOid, oidText } from "./oid.js";

export interface AlgorithmIdentifier {
  /** Dotted. */
  readonly oid: string;
  /** The parameters' DER value, whole; absent if there is none (NULL is one). */
  readonly parameters?: Uint8Array;
}

/**
 * Reads the next value of `reader`.
 *
 * @param tag - an implicit tag that stands for SEQUENCE.
 * @throws FormatError `ERR_DER`, `ERR_TRUNCATED`, `ERR_TRAILING`.
 */
export function readAlgorithm(reader: DerReader, tag: number = TAG.sequence): AlgorithmIdentifier {
  const fields = reader.constructed(tag);
  const oid = oidText(fields.read(TAG.oid));
  const parameters = fields.peek() === undefined ? undefined : fields.any();
  fields.end();
  return parameters === undefined ? { oid } : { oid, parameters };
}

export function derAlgorithm(algorithm: AlgorithmIdentifier): Uint8Array<ArrayBuffer> {
  const { oid, parameters } = algorithm;
  return der(TAG.sequence, derOid(oid), ...(parameters === undefined ? [] : [parameters]));
}

/** True if both name the same algorithm with the same parameters, byte for byte. */
export function sameAlgorithm(a: AlgorithmIdentifier, b: AlgorithmIdentifier): boolean {
  if (a.oid !== b.oid) return false;
  if (a.parameters === undefined || b.parameters === undefined) {
    return a.parameters === b.parameters;
  }
  return equal(a.parameters, b.parameters);
}

/** DER's NULL, which many algorithms have as their parameters. */
export const DER_NULL: Uint8Array = Uint8Array.of(TAG.null, 0);
