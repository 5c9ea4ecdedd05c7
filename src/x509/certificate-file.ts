/**
 * Certificates and CRLs as files hold them: PEM with one or more, DER with one, or a PKCS#7 file
 * that holds nothing else (`.p7b`, `.p7c`: a SignedData without content or signers, RFC 5652 §5).
 */
import { DerReader, TAG } from "../asn1/der.js";
import { oidText } from "../asn1/oid.js";
import { formatPem, looksLikePem, parsePem } from "../asn1/pem.js";
import { FormatError } from "../errors.js";
import { parseX509, type Certificate } from "./certificate.js";

/** DER values, whole, in their order in the file. */
export interface CertificateFile {
  readonly certificates: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
}

/**
 * All certificates of a file, in their order. Other PEM blocks are passed over: keys are often kept
 * beside their certificates.
 *
 * @throws FormatError `ERR_CERTIFICATE`: there is none, or one can't be read; `ERR_PEM`.
 */
export function certificatesIn(bytes: Uint8Array): Certificate[] {
  const { certificates } = readCertificateFile(bytes);
  if (certificates.length === 0) {
    throw new FormatError("ERR_CERTIFICATE", "there is no certificate in the file", {
      hint: "certificates come as PEM (BEGIN CERTIFICATE), as DER, or in a PKCS#7 file (.p7b)",
    });
  }
  return certificates.map((certificate) => parseX509(certificate));
}

/** The DER values that can be read, and no others: a token may hold certificates of any kind. */
export function readableCertificates(certificates: readonly Uint8Array[]): Certificate[] {
  return certificates.flatMap((bytes) => {
    try {
      return [parseX509(bytes)];
    } catch (error) {
      if (error instanceof FormatError) return [];
      throw error;
    }
  });
}

/** A file with one certificate, after lines of text that other programs pass over. */
export function certificatePem({ der }: Certificate, before: readonly string[] = []): string {
  return formatPem("CERTIFICATE", der, before);
}

/**
 * Takes certificates and CRLs out of a file, which may hold neither. A DER value that is not
 * PKCS#7 is a certificate or a CRL by its form.
 *
 * @throws FormatError `ERR_CERTIFICATE`: neither PEM nor DER; `ERR_PEM`.
 */
export function readCertificateFile(bytes: Uint8Array): CertificateFile {
  if (bytes[0] === TAG.sequence) return fromDer(bytes);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  if (!looksLikePem(text)) {
    throw new FormatError("ERR_CERTIFICATE", "the file holds neither PEM nor DER");
  }
  const certificates: Uint8Array[] = [];
  const crls: Uint8Array[] = [];
  for (const block of parsePem(text)) {
    if (CERTIFICATE_LABELS.has(block.label)) certificates.push(block.bytes);
    if (block.label === "X509 CRL") crls.push(block.bytes);
    if (block.label === "PKCS7" || block.label === "CMS") {
      const inside = fromDer(block.bytes);
      certificates.push(...inside.certificates);
      crls.push(...inside.crls);
    }
  }
  return { certificates, crls };
}

function fromDer(bytes: Uint8Array): CertificateFile {
  try {
    const file = new DerReader(bytes, "file");
    const outer = file.sequence();
    file.end();
    if (outer.peek() === TAG.oid) return fromPkcs7(outer);
    return looksLikeCrl(outer)
      ? { certificates: [], crls: [bytes] }
      : { certificates: [bytes], crls: [] };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(
      "ERR_CERTIFICATE",
      `neither a certificate nor a PKCS#7 file: ${error.message}`,
    );
  }
}

/** After the issuer, a CRL has a time, and a certificate of version 1 a SEQUENCE of two. */
function looksLikeCrl(outer: DerReader): boolean {
  const fields = outer.sequence();
  if (fields.peek() === 0xa0) return false;
  if (fields.peek() === TAG.integer) fields.skip();
  fields.skip();
  fields.skip();
  return fields.peek() !== TAG.sequence;
}

function fromPkcs7(outer: DerReader): CertificateFile {
  const type = oidText(outer.read(TAG.oid));
  if (type !== SIGNED_DATA) {
    throw new FormatError("ERR_DER", `its content type is ${type}, not SignedData`);
  }
  const wrapper = outer.constructed(0xa0);
  outer.end();
  const fields = wrapper.sequence();
  wrapper.end();
  fields.read(TAG.integer); // version
  fields.read(TAG.set); // digest algorithms
  fields.read(TAG.sequence); // content
  const certificates = wholeValues(fields.optional(0xa0));
  const crls = wholeValues(fields.optional(0xa1));
  fields.read(TAG.set); // signers
  fields.end();
  return { certificates, crls };
}

/** The values of a SET that are X.509's own; other choices have context tags. */
function wholeValues(set: DerReader | undefined): Uint8Array[] {
  const values: Uint8Array[] = [];
  while (set?.peek() !== undefined) {
    const isX509 = set.peek() === TAG.sequence;
    const value = set.any();
    if (isX509) values.push(value);
  }
  return values;
}

const CERTIFICATE_LABELS: ReadonlySet<string> = new Set(["CERTIFICATE", "X509 CERTIFICATE"]);
const SIGNED_DATA = "1.2.840.113549.1.7.2";
