/**
 * Attributes of a signer (RFC 5652 §5.3, §11): a SET, each a type and its values. Those that are
 * signed must be DER, since it is their DER that is signed.
 */
import { der, DerReader, TAG } from "../../asn1/der.js";
import { derOid, oidText } from "../../asn1/oid.js";
import { concatAll } from "../../bytes.js";
import { FormatError } from "../../errors.js";

/** By type, dotted: the DER values, whole. */
export type Attributes = ReadonlyMap<string, readonly Uint8Array[]>;

/** What the attributes of one signer may take, bytes. */
export const MAX_ATTRIBUTES_BYTES = 64 * 1024;

/**
 * Reads the content of a SET OF Attribute: strictly DER, which includes its order, and no type
 * twice. `what` names it in errors.
 *
 * @throws FormatError `ERR_ATTRIBUTES`, `ERR_DER`, `ERR_TRUNCATED`, `ERR_TRAILING`
 */
export function readAttributes(content: Uint8Array, what: string): Attributes {
  if (content.length > MAX_ATTRIBUTES_BYTES) {
    throw malformed(`${what} have more than ${MAX_ATTRIBUTES_BYTES} bytes`);
  }
  const attributes = new Map<string, readonly Uint8Array[]>();
  const reader = new DerReader(content, what);
  for (const attribute of inOrder(reader, what)) {
    const fields = new DerReader(attribute, what).sequence();
    const type = oidText(fields.read(TAG.oid));
    const values = inOrder(fields.constructed(TAG.set), what);
    fields.end();
    if (attributes.has(type)) throw malformed(`${what} have ${nameOf(type)} twice`);
    attributes.set(type, values);
  }
  return attributes;
}

/**
 * Refuses, among the content of a signer's unsigned attributes, those that count only when they are
 * signed (RFC 5652 §11). The others say nothing here.
 *
 * @throws FormatError `ERR_ATTRIBUTES`, `ERR_DER`, `ERR_TRUNCATED`
 */
export function requireNotUnsigned(content: Uint8Array): void {
  const reader = new DerReader(content, "unsigned attributes");
  while (reader.peek() !== undefined) {
    const fields = reader.sequence();
    const type = oidText(fields.read(TAG.oid));
    fields.read(TAG.set);
    fields.end();
    if (!SIGNED_ONLY.has(type)) continue;
    throw malformed(`${nameOf(type)} is among the attributes that are not signed`);
  }
}

/**
 * The only value of an attribute that has just one; undefined where the attribute is absent.
 *
 * @throws FormatError `ERR_ATTRIBUTES`
 */
export function soleValue(attributes: Attributes, type: string): Uint8Array | undefined {
  const values = attributes.get(type);
  if (values === undefined) return undefined;
  const [value] = values;
  if (value === undefined || values.length > 1) {
    throw malformed(`${nameOf(type)} has ${values.length} values instead of one`);
  }
  return value;
}

/** One attribute with one value, both DER. */
export function derAttribute(type: string, value: Uint8Array): Uint8Array {
  return der(TAG.sequence, derOid(type), der(TAG.set, value));
}

/** A SET OF whatever these DER values are, in DER's order (X.690 §11.6), with this tag. */
export function derSetOf(
  values: readonly Uint8Array[],
  tag: number = TAG.set,
): Uint8Array<ArrayBuffer> {
  return der(tag, concatAll(values.toSorted(compare)));
}

/** The values that a SET OF holds, none of which stands before one that is less. */
function inOrder(reader: DerReader, what: string): Uint8Array[] {
  const values: Uint8Array[] = [];
  while (reader.peek() !== undefined) {
    const value = reader.any();
    const last = values.at(-1);
    if (last !== undefined && compare(last, value) > 0) {
      throw malformed(`${what} are not in DER's order`);
    }
    values.push(value);
  }
  return values;
}

/** X.690 §11.6: as octet strings, the shorter one padded with zeros. */
function compare(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

export const ATTRIBUTE_TYPE = {
  contentType: "1.2.840.113549.1.9.3",
  messageDigest: "1.2.840.113549.1.9.4",
  signingTime: "1.2.840.113549.1.9.5",
  signingCertificate: "1.2.840.113549.1.9.16.2.12",
  signingCertificateV2: "1.2.840.113549.1.9.16.2.47",
} as const;

const SIGNED_ONLY: ReadonlySet<string> = new Set(Object.values(ATTRIBUTE_TYPE));

function nameOf(type: string): string {
  const names = Object.entries(ATTRIBUTE_TYPE);
  return names.find(([, oid]) => oid === type)?.[0] ?? `attribute ${type}`;
}

function malformed(message: string): FormatError {
  return new FormatError("ERR_ATTRIBUTES", message, {
    hint: "what a signature covers must have one meaning; ask the sender to sign it again",
  });
}
