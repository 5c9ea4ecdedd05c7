/** OCSP responses (RFC 6960 §4.2): what one says, strictly read. */
import { readAlgorithm, type AlgorithmIdentifier } from "../asn1/algorithm-identifier.js";
import { DerReader, TAG } from "../asn1/der.js";
import { oidText } from "../asn1/oid.js";
import { readGeneralizedTime } from "../asn1/time.js";
import { defined } from "../defined.js";
import { FormatError } from "../errors.js";
import { parseX509, readSerial, type Certificate } from "./certificate.js";
import { readWrappedExtensions, type Extensions } from "./extensions.js";
import { readName, type Name } from "./name.js";
import { readSignedFields, type SignedValue } from "./signed-value.js";

/** A successful basic response. */
export interface OcspResponse extends SignedValue {
  readonly der: Uint8Array;
  /** Who signed it: by name, or by the SHA-1 of the key (the BIT STRING's content). */
  readonly responder: { readonly name: Name } | { readonly keyHash: Uint8Array };
  /** Milliseconds since 1970. */
  readonly producedMs: number;
  readonly statuses: readonly OcspStatus[];
  /** Certificates that came along, as the responder's may have to. */
  readonly certificates: readonly Certificate[];
  readonly extensions: Extensions;
}

/** The status of one certificate. */
export interface OcspStatus {
  /** The hash of the two values that follow, which name the issuer. */
  readonly hashAlgorithm: AlgorithmIdentifier;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  /** INTEGER content. */
  readonly serial: Uint8Array;
  readonly status: "good" | "revoked" | "unknown";
  readonly revokedMs?: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs?: number;
  readonly extensions: Extensions;
}

/**
 * Reads an OCSPResponse in DER.
 *
 * @throws FormatError `ERR_OCSP`: not DER; not successful; not a basic response.
 */
export function parseOcspResponse(bytes: Uint8Array): OcspResponse {
  try {
    return read(bytes);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError("ERR_OCSP", `not a usable OCSP response: ${error.message}`);
  }
}

function read(bytes: Uint8Array): OcspResponse {
  if (bytes.length > MAX_BYTES) {
    throw new FormatError("ERR_DER", `it has ${bytes.length} bytes, more than ${MAX_BYTES}`);
  }
  const file = new DerReader(bytes, "OCSP response");
  const outer = file.sequence();
  file.end();
  const [status = 0xff, ...more] = outer.read(TAG.enumerated);
  if (status !== 0 || more.length > 0) {
    throw new FormatError("ERR_DER", `the responder answered ${STATUSES[status] ?? "nonsense"}`);
  }
  const wrapper = outer.constructed(0xa0);
  outer.end();
  const typed = wrapper.sequence();
  wrapper.end();
  const type = oidText(typed.read(TAG.oid));
  if (type !== BASIC) throw new FormatError("ERR_DER", `it is of type ${type}`);
  const inner = new DerReader(typed.read(TAG.octetString), "OCSP response");
  typed.end();
  const basic = inner.sequence();
  inner.end();

  const signed = readSignedFields(basic);
  const list = basic.optional(0xa0);
  basic.end();
  const certificates = list === undefined ? [] : readCertificates(list);
  return { der: bytes, certificates, ...signed, ...readData(signed.tbs) };
}

function readData(
  tbs: Uint8Array,
): Pick<OcspResponse, "responder" | "producedMs" | "statuses" | "extensions"> {
  const fields = new DerReader(tbs, "OCSP response").sequence();
  const wrapper = fields.optional(0xa0);
  const version = wrapper?.count() ?? 0;
  wrapper?.end();
  if (version !== 0) throw new FormatError("ERR_DER", `it has version ${version + 1}`);
  const responder = readResponder(fields);
  const producedMs = readGeneralizedTime(fields);
  const list = fields.sequence();
  const statuses: OcspStatus[] = [];
  while (list.peek() !== undefined) {
    if (statuses.length === MAX_STATUSES) {
      throw new FormatError("ERR_DER", `it answers for more than ${MAX_STATUSES} certificates`);
    }
    statuses.push(readStatus(list.sequence()));
  }
  const extensions = readWrappedExtensions(fields, 0xa1);
  fields.end();
  return { responder, producedMs, statuses, extensions };
}

function readResponder(fields: DerReader): OcspResponse["responder"] {
  const byName = fields.peek() === 0xa1;
  const wrapper = fields.constructed(byName ? 0xa1 : 0xa2);
  const responder = byName
    ? { name: readName(wrapper) }
    : { keyHash: wrapper.read(TAG.octetString) };
  wrapper.end();
  return responder;
}

function readStatus(fields: DerReader): OcspStatus {
  const id = fields.sequence();
  const hashAlgorithm = readAlgorithm(id);
  const issuerNameHash = id.read(TAG.octetString);
  const issuerKeyHash = id.read(TAG.octetString);
  const serial = readSerial(id);
  id.end();
  const answer = readAnswer(fields);
  const thisUpdateMs = readGeneralizedTime(fields);
  const next = fields.optional(0xa0);
  const nextUpdateMs = next && readGeneralizedTime(next);
  next?.end();
  const extensions = readWrappedExtensions(fields, 0xa1);
  fields.end();
  return {
    ...{ hashAlgorithm, issuerNameHash, issuerKeyHash, serial, thisUpdateMs, extensions },
    ...answer,
    ...defined({ nextUpdateMs }),
  };
}

function readAnswer(fields: DerReader): Pick<OcspStatus, "status" | "revokedMs"> {
  switch (fields.peek()) {
    case 0x80:
      fields.readEmpty(0x80);
      return { status: "good" };
    case 0xa1: {
      const revoked = fields.constructed(0xa1);
      const revokedMs = readGeneralizedTime(revoked);
      // The reason, which changes nothing here.
      const reason = revoked.optional(0xa0);
      reason?.read(TAG.enumerated);
      reason?.end();
      revoked.end();
      return { status: "revoked", revokedMs };
    }
    case undefined:
    default:
      fields.readEmpty(0x82);
      return { status: "unknown" };
  }
}

function readCertificates(wrapper: DerReader): Certificate[] {
  const list = wrapper.sequence();
  wrapper.end();
  const certificates: Certificate[] = [];
  while (list.peek() !== undefined) {
    if (certificates.length === MAX_CERTIFICATES) {
      throw new FormatError("ERR_DER", `it carries more than ${MAX_CERTIFICATES} certificates`);
    }
    certificates.push(parseX509(list.any()));
  }
  return certificates;
}

const BASIC = "1.3.6.1.5.5.7.48.1.1";

/** OCSPResponseStatus (§4.2.1). */
const STATUSES: Readonly<Record<number, string>> = {
  1: "that the request is malformed",
  2: "with an internal error",
  3: "that it should be asked later",
  5: "that the request must be signed",
  6: "that the request is not authorized",
};

const MAX_BYTES = 2 ** 20;
const MAX_STATUSES = 1024;
const MAX_CERTIFICATES = 16;
