/**
 * RSAES-OAEP-params (RFC 4055 §4.1, RFC 8017 §A.2.1): the hash, MGF1's hash and the label.
 *
 * A recipient that names OAEP and says nothing, or nonsense, of its parameters is refused before
 * any token is asked: OpenSSL then falls back to PKCS#1 v1.5, which opens the way to
 * Bleichenbacher's attack.
 */
import { readAlgorithm } from "../../asn1/algorithm-identifier.js";
import { DerReader, TAG } from "../../asn1/der.js";
import { oidText } from "../../asn1/oid.js";
import { FormatError } from "../../errors.js";
import type { OaepHash, OaepParameters } from "../../keys/key.js";
import { HASH_OIDS, RSA_OIDS } from "./cms-oids.js";

const WHAT = "a recipient's RSA-OAEP parameters";

/**
 * @param parameters - whole, DER
 * @returns undefined for hashes, or a mask function, that are not known
 * @throws FormatError `ERR_CMS`, `ERR_DER`
 */
export function parseOaepParameters(
  parameters: Uint8Array | undefined,
): OaepParameters | undefined {
  if (parameters?.[0] !== TAG.sequence) {
    throw new FormatError("ERR_CMS", "a recipient's RSA-OAEP parameters are missing");
  }
  const fields = new DerReader(parameters, WHAT).sequence();
  const hash = explicit(fields, 0xa0, readHash, "sha1");
  const mgfHash = explicit(fields, 0xa1, readMgf, "sha1");
  const label = explicit(fields, 0xa2, readLabel, new Uint8Array(0));
  fields.end();
  if (hash === undefined || mgfHash === undefined || label === undefined) return undefined;
  return { hash, mgfHash, label };
}

/** A field under a tag of its own, or its default. */
function explicit<T>(
  fields: DerReader,
  tag: number,
  read: (field: DerReader) => T | undefined,
  byDefault: T,
): T | undefined {
  const field = fields.optional(tag);
  if (field === undefined) return byDefault;
  const value = read(field);
  field.end();
  return value;
}

function readHash(field: DerReader): OaepHash | undefined {
  const { oid, parameters } = readAlgorithm(field);
  if (parameters !== undefined && parameters[0] !== TAG.null) {
    throw new FormatError("ERR_CMS", `${WHAT} have a hash with parameters`);
  }
  return OAEP_HASHES.find((hash) => HASH_OIDS[hash] === oid);
}

function readMgf(field: DerReader): OaepHash | undefined {
  const { oid, parameters } = readAlgorithm(field);
  if (oid !== RSA_OIDS.mgf1) return undefined;
  if (parameters === undefined)
    throw new FormatError("ERR_CMS", `${WHAT} have MGF1 without a hash`);
  return readHash(new DerReader(parameters, WHAT));
}

function readLabel(field: DerReader): Uint8Array | undefined {
  const source = field.sequence();
  const isSpecified = oidText(source.read(TAG.oid)) === RSA_OIDS.labelSpecified;
  if (!isSpecified) return undefined;
  const label = source.read(TAG.octetString);
  source.end();
  return label;
}

const OAEP_HASHES = Object.keys(HASH_OIDS) as readonly OaepHash[];
