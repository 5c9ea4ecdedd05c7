/**
 * X.509 certificates (RFC 5280 §4): what one says, strictly read. Whether it is to be believed is
 * decided in `src/trust/`.
 */
import { equal } from "../bytes.js";
import { DerReader, TAG } from "../asn1/der.js";
import { readTime } from "../asn1/time.js";
import { FormatError } from "../errors.js";
import {
  extensionValues,
  readWrappedExtensions,
  type Extensions,
  type ExtensionValues,
} from "./extensions.js";
import { ATTRIBUTE, attributeTexts, readName, sameName, type Name } from "./name.js";
import { readSigned, requireSameAlgorithm, type SignedValue } from "./signed-value.js";

/** A certificate. Its bytes are views of those that it was read from. */
export interface Certificate extends SignedValue, ExtensionValues {
  /** The whole certificate. */
  readonly der: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Content of the INTEGER. Negative and zero do occur, and name a certificate as well. */
  readonly serial: Uint8Array;
  readonly issuer: Name;
  readonly subject: Name;
  /** Milliseconds since 1970; both ends belong to the period. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** SubjectPublicKeyInfo, whole. */
  readonly spki: Uint8Array;
  readonly extensions: Extensions;
  /** From the alternative names and from the subject (emailAddress), as they are written. */
  readonly mailAddresses: readonly string[];
}

/**
 * Reads a certificate in DER.
 *
 * @throws FormatError `ERR_CERTIFICATE`: not DER, more than 1 MiB, an extension or a policy that
 *   occurs twice, a known extension with a malformed value, different signature algorithms inside
 *   and outside.
 */
export function parseX509(bytes: Uint8Array): Certificate {
  if (bytes.length > MAX_BYTES) {
    throw new FormatError("ERR_CERTIFICATE", `certificate has ${bytes.length} bytes`, {
      hint: `at most ${MAX_BYTES} are read`,
    });
  }
  try {
    return read(bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError("ERR_CERTIFICATE", `not an X.509 certificate: ${error.message}`);
  }
}

/** True if both are the same certificate, byte for byte. */
export function sameCertificate(a: Certificate, b: Certificate): boolean {
  return equal(a.der, b.der);
}

/** Issued by an authority to itself, as when it changes its key (RFC 5280 §3.2). */
export function isSelfIssued({ subject, issuer }: Certificate): boolean {
  return sameName(subject, issuer);
}

function read(bytes: Uint8Array): Certificate {
  const signed = readSigned(bytes, "certificate");
  const fields = new DerReader(signed.tbs, "certificate").sequence();
  const version = readVersion(fields);
  const serial = readSerial(fields);
  requireSameAlgorithm(fields, signed, "certificate");
  const issuer = readName(fields);
  const validity = fields.sequence();
  const notBeforeMs = readTime(validity);
  const notAfterMs = readTime(validity);
  validity.end();
  const subject = readName(fields);
  const spki = fields.next(TAG.sequence);
  // Unique identifiers, obsolete: RFC 5280 §4.1.2.8.
  if (version > 1 && fields.peek() === 0x81) fields.skip();
  if (version > 1 && fields.peek() === 0x82) fields.skip();
  const extensions: Extensions = version === 3 ? readWrappedExtensions(fields, 0xa3) : new Map();
  fields.end();

  const values = extensionValues(extensions);
  const mailAddresses = [
    ...(values.subjectAltNames ?? []).flatMap((name) => (name.type === "email" ? [name.text] : [])),
    ...attributeTexts(subject, ATTRIBUTE.emailAddress),
  ];
  return {
    ...{ der: bytes, version, serial, issuer, subject, notBeforeMs, notAfterMs, spki },
    ...{ extensions, mailAddresses },
    ...signed,
    ...values,
  };
}

function readVersion(fields: DerReader): 1 | 2 | 3 {
  const wrapper = fields.optional(0xa0);
  if (wrapper === undefined) return 1;
  const version = wrapper.count() + 1;
  wrapper.end();
  if (version !== 1 && version !== 2 && version !== 3) {
    throw new FormatError("ERR_DER", `certificate has version ${version}`);
  }
  return version;
}

/** The content of an INTEGER that names a certificate: here, in a CRL, or in a message. */
export function readSerial(fields: DerReader): Uint8Array {
  const serial = fields.read(TAG.integer);
  const [first, second = 0] = serial;
  if (first === undefined || serial.length > MAX_SERIAL_BYTES) {
    throw new FormatError("ERR_DER", `a serial number has ${serial.length} bytes`);
  }
  const isPadded =
    serial.length > 1 && (first === 0 ? second < 0x80 : first === 0xff && second >= 0x80);
  if (isPadded) throw new FormatError("ERR_DER", "a serial number has needless bytes");
  return serial;
}

const MAX_BYTES = 2 ** 20;
/** RFC 5280 §4.1.2.2 has 20; a sign byte before 20 random ones is a common slip. */
const MAX_SERIAL_BYTES = 21;
