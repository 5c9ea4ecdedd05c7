/** The check of a certificate for callers with bytes, and what came of it in plain values. */
import { toHex } from "../bytes.js";
import { defined } from "../defined.js";
import { parseX509, type Certificate } from "../x509/certificate.js";
import { parseCrl } from "../x509/crl.js";
import { nameText } from "../x509/name.js";
import { parseOcspResponse } from "../x509/ocsp-response.js";
import { requireTrusted, type TrustDemands, type TrustedPath } from "./trust.js";

/** As `TrustDemands`, with certificates, lists and responses in DER. */
export interface VerifyCertificateOptions extends Omit<
  TrustDemands,
  "anchors" | "others" | "crls" | "ocsp"
> {
  readonly anchors: readonly Uint8Array[];
  readonly others?: readonly Uint8Array[];
  readonly crls?: readonly Uint8Array[];
  readonly ocsp?: readonly Uint8Array[];
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
 * @throws PolicyError with a `TrustCode`: which certificate breaks which rule.
 * @throws FormatError `ERR_CERTIFICATE`, `ERR_CRL`, `ERR_OCSP`: something given can't be read.
 */
export function verifyCertificate(
  certificate: Uint8Array,
  options: VerifyCertificateOptions,
): TrustAccount {
  const { anchors, others = [], crls = [], ocsp = [] } = options;
  const demands: TrustDemands = {
    ...options,
    anchors: anchors.map(parseX509),
    others: others.map(parseX509),
    crls: crls.map(parseCrl),
    ocsp: ocsp.map(parseOcspResponse),
  };
  return trustAccount(requireTrusted(parseX509(certificate), demands));
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
