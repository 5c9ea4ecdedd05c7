/** The check of a certificate for callers with bytes, and what came of it in plain values. */
import { toHex } from "../bytes.js";
import { defined } from "../defined.js";
import { parseX509, type Certificate } from "../x509/certificate.js";
import { parseCrl } from "../x509/crl.js";
import { nameText } from "../x509/name.js";
import { parseOcspResponse } from "../x509/ocsp-response.js";
import type { CertificateUse } from "./certificate-usage.js";
import { requireTrusted, type TrustedPath } from "./trust.js";

export interface VerifyCertificateOptions {
  /** Certificates of the authorities that are trusted, DER. One may be the certificate itself. */
  readonly anchors: readonly Uint8Array[];
  /** Certificates that paths may lead over, DER. None of them is believed for being here. */
  readonly others?: readonly Uint8Array[];
  /** The time at which the certificate is to be valid, milliseconds since 1970. */
  readonly atMs: number;
  readonly use: CertificateUse;
  /** Certificate revocation lists, DER. */
  readonly crls?: readonly Uint8Array[];
  /** OCSP responses, DER. */
  readonly ocsp?: readonly Uint8Array[];
  /**
   * `required`: of each certificate of the path it must be known that it was not revoked; the
   * default where a list or a response is given. `if-known`: a revocation that is known counts; the
   * default otherwise.
   */
  readonly revocation?: "required" | "if-known";
  /** Accept signatures with SHA-1. */
  readonly allowSha1?: boolean;
  /** How many intermediate certificates a path may have, apart from self-issued ones: 8. */
  readonly maxIntermediates?: number;
  /** Policies of which one will do, dotted OIDs; any by default. */
  readonly policies?: readonly string[];
  /** The path must be valid for one of these policies. */
  readonly requirePolicy?: boolean;
}

/** Why a certificate is believed; fit for JSON. */
export interface TrustAccount {
  /** RFC 4514, as in `CN=Bob,O=Example`. */
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal, of the INTEGER's content. */
  readonly serial: string;
  readonly mailAddresses: readonly string[];
  /** ISO 8601. */
  readonly notAfter: string;
  /** Subjects from the certificate to the anchor. */
  readonly path: readonly string[];
  readonly anchor: string;
  /** Dotted; `2.5.29.32.0` stands for all. */
  readonly policies: readonly string[];
  /** One for each certificate of the path but the anchor, from the certificate on. */
  readonly revocation: readonly RevocationAccount[];
}

/** What is known about the revocation of one certificate. */
export interface RevocationAccount {
  readonly subject: string;
  /** By what it is known not to be revoked. */
  readonly by: "crl" | "ocsp" | "not checked";
  /** When the list or response was made, ISO 8601. */
  readonly asOf?: string;
}

/**
 * Checks a certificate in DER: a path to one of the anchors, by RFC 5280, at a time that is given.
 * Reads no clock, no file and no network.
 *
 * @throws PolicyError whose message says which certificate breaks which rule:
 *   `ERR_CERTIFICATE_PATH`, `ERR_CERTIFICATE_TIME`, `ERR_CERTIFICATE_RULE`, `ERR_CERTIFICATE_NAME`,
 *   `ERR_CERTIFICATE_POLICY`, `ERR_CERTIFICATE_USAGE`, `ERR_CERTIFICATE_SIGNATURE`,
 *   `ERR_CERTIFICATE_REVOKED`, `ERR_REVOCATION_UNKNOWN`, `ERR_CERTIFICATE_EFFORT`.
 * @throws FormatError `ERR_CERTIFICATE`, `ERR_CRL`, `ERR_OCSP`: something given can't be read.
 */
export function verifyCertificate(
  certificate: Uint8Array,
  options: VerifyCertificateOptions,
): TrustAccount {
  const { anchors, others = [], crls = [], ocsp = [], ...demands } = options;
  const trusted = requireTrusted(parseX509(certificate), {
    ...demands,
    anchors: anchors.map(parseX509),
    others: others.map(parseX509),
    crls: crls.map(parseCrl),
    ocsp: ocsp.map(parseOcspResponse),
  });
  return trustAccount(trusted);
}

export function trustAccount({ path, policies, unrevoked }: TrustedPath): TrustAccount {
  const [certificate, anchor] = [path[0], path.at(-1)] as [Certificate, Certificate];
  const revocation = path.slice(0, -1).map((one): RevocationAccount => {
    const known = unrevoked.find((status) => status.certificate === one);
    const asOf = known && new Date(known.asOfMs).toISOString();
    return { subject: nameText(one.subject), by: known?.by ?? "not checked", ...defined({ asOf }) };
  });
  return {
    subject: nameText(certificate.subject),
    issuer: nameText(certificate.issuer),
    serial: toHex(certificate.serial),
    mailAddresses: certificate.mailAddresses,
    notAfter: new Date(certificate.notAfterMs).toISOString(),
    path: path.map(({ subject }) => nameText(subject)),
    anchor: nameText(anchor.subject),
    policies,
    revocation,
  };
}
