/**
 * The signed attributes signing-certificate (RFC 2634 §5.4) and signing-certificate-v2 (RFC 5035):
 * they bind a signature to one certificate, so that nobody can pass it off as made under another
 * one of the same key.
 */
import { createHash } from "node:crypto";
import { readAlgorithm } from "../../asn1/algorithm-identifier.js";
import { der, DerReader, TAG } from "../../asn1/der.js";
import { equal } from "../../bytes.js";
import { FormatError, UnsupportedError } from "../../errors.js";
import { signatureDigest, type SignatureDigest } from "../../keys/signature-scheme.js";
import type { Certificate } from "../../x509/certificate.js";
import { readGeneralNames } from "../../x509/general-name.js";
import { sameName } from "../../x509/name.js";
import { ATTRIBUTE_TYPE, soleValue, type Attributes } from "./attributes.js";

/**
 * Whether the attributes bind the signature to this certificate: `"other"`, if to another one;
 * undefined if there is no such attribute.
 *
 * @throws FormatError, UnsupportedError
 */
export function boundTo(
  attributes: Attributes,
  certificate: Certificate,
): "this" | "other" | undefined {
  const v1 = soleValue(attributes, ATTRIBUTE_TYPE.signingCertificate);
  const v2 = soleValue(attributes, ATTRIBUTE_TYPE.signingCertificateV2);
  if (v1 !== undefined && !isNamed(firstId(v1, 1), certificate)) return "other";
  if (v2 === undefined) return v1 === undefined ? undefined : "this";
  return isNamed(firstId(v2, 2), certificate) ? "this" : "other";
}

/**
 * The value of signing-certificate-v2 for this certificate: SHA-256, which is the default and so
 * not written, and issuer and serial number (ETSI EN 319 122-1 §5.2.2.3).
 */
export function signingCertificateV2({ der: encoded, issuer, serial }: Certificate): Uint8Array {
  const hash = createHash("sha256").update(encoded).digest();
  const directoryName = der(DIRECTORY_NAME, issuer.der);
  const issuerSerial = der(
    TAG.sequence,
    der(TAG.sequence, directoryName),
    der(TAG.integer, serial),
  );
  const id = der(TAG.sequence, der(TAG.octetString, hash), issuerSerial);
  return der(TAG.sequence, der(TAG.sequence, id));
}

/** The first ESSCertID, which is the signer's; those that follow are of its issuers. */
interface CertificateId {
  readonly digest: SignatureDigest;
  readonly hash: Uint8Array;
  readonly issuerSerial: DerReader | undefined;
}

function firstId(value: Uint8Array, version: 1 | 2): CertificateId {
  const file = new DerReader(value, "signing certificate");
  const fields = file.sequence();
  file.end();
  const id = fields.sequence().sequence();
  if (fields.peek() === TAG.sequence) fields.skip(); // policies
  fields.end();
  const digest = version === 1 ? "sha1" : readDigest(id);
  const hash = id.read(TAG.octetString);
  const issuerSerial = id.optional(TAG.sequence);
  id.end();
  return { digest, hash, issuerSerial };
}

function readDigest(id: DerReader): SignatureDigest {
  if (id.peek() !== TAG.sequence) return "sha256";
  const algorithm = readAlgorithm(id);
  const digest = signatureDigest(algorithm);
  if (digest !== undefined) return digest;
  throw new UnsupportedError(
    "ERR_SIGNATURE_ALGORITHM",
    `the signing certificate is named by hash ${algorithm.oid}, which is not supported`,
  );
}

function isNamed({ digest, hash, issuerSerial }: CertificateId, certificate: Certificate): boolean {
  const own = createHash(digest).update(certificate.der).digest();
  if (!equal(own, hash)) return false;
  if (issuerSerial === undefined) return true;
  const names = readGeneralNames(issuerSerial);
  const serial = issuerSerial.read(TAG.integer);
  issuerSerial.end();
  const [name, more] = names;
  if (name?.type !== "directory" || more !== undefined) {
    throw new FormatError("ERR_ATTRIBUTES", "the signing certificate has an issuer without a name");
  }
  return sameName(name.name, certificate.issuer) && equal(serial, certificate.serial);
}

/** GeneralName's `[4]`, explicit. */
const DIRECTORY_NAME = 0xa4;
