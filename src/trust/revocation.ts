/**
 * Whether a certificate of a path was revoked, by OCSP responses and by revocation lists. Both are
 * given: nothing is fetched. A revocation in either counts.
 */
import { sameCertificate, type Certificate } from "../x509/certificate.js";
import type { Crl } from "../x509/crl.js";
import type { DistributionPoint } from "../x509/distribution-point.js";
import { sameName } from "../x509/name.js";
import type { OcspResponse } from "../x509/ocsp-response.js";
import { crlStatus, type CrlJudge } from "./crl-check.js";
import type { Effort } from "./effort.js";
import { certificateLabel, day, trustFault } from "./faults.js";
import { ocspStatus } from "./ocsp-check.js";
import type { CertificatePool } from "./path-building.js";
import type { RevocationStatus } from "./revocation-status.js";
import type { SignatureChecker } from "./signature-check.js";

/** What is known of one certificate of a path. */
export interface KnownStatus {
  readonly certificate: Certificate;
  readonly by: "crl" | "ocsp";
  /** When the list or the response was made, in milliseconds since 1970. */
  readonly asOfMs: number;
}

export interface RevocationSources {
  readonly crls: readonly Crl[];
  readonly ocsp: readonly OcspResponse[];
  readonly atMs: number;
  readonly signatures: SignatureChecker;
  readonly effort: Effort;
  /** Certificates that may have signed a list. */
  readonly others: CertificatePool;
  /** Whether a path of this certificate to the anchor is valid, and nothing in it was revoked. */
  readonly isTrusted: (signer: Certificate, anchor: Certificate) => boolean;
}

/**
 * What is known of each certificate of a path but the anchor, beginning below the anchor.
 *
 * @param mayBeUnknown - accept certificates that nothing is known of.
 * @throws PolicyError `ERR_CERTIFICATE_REVOKED`, `ERR_REVOCATION_UNKNOWN`.
 */
export function requireUnrevoked(
  path: readonly Certificate[],
  sources: RevocationSources,
  mayBeUnknown: boolean,
): KnownStatus[] {
  const known: KnownStatus[] = [];
  for (let index = path.length - 2; index >= 0; index--) {
    const status = requireStatus(path, index, sources, mayBeUnknown);
    if (status !== undefined) known.push(status);
  }
  return known;
}

function requireStatus(
  path: readonly Certificate[],
  index: number,
  sources: RevocationSources,
  mayBeUnknown: boolean,
): KnownStatus | undefined {
  const [certificate, issuer] = path.slice(index) as [Certificate, Certificate];
  const anchor = path.at(-1) as Certificate;
  const byCrl = statusByCrl(certificate, issuer, anchor, sources);
  const byOcsp = ocspStatus(certificate, issuer, sources.ocsp, {
    ...sources,
    isRevoked: (responder, authority) => {
      return statusByCrl(responder, authority, anchor, sources).status !== "good";
    },
  });
  for (const one of [byOcsp, byCrl])
    if (one.status === "revoked") throw wasRevoked(certificate, one);
  if (byOcsp.status === "good") return { certificate, by: "ocsp", asOfMs: byOcsp.asOfMs };
  if (byCrl.status === "good") return { certificate, by: "crl", asOfMs: byCrl.asOfMs };
  if (mayBeUnknown) return undefined;
  const why = [byOcsp, byCrl].flatMap((one) => {
    return one.status === "unknown" ? (one.why ?? []) : [];
  });
  const reason = why[0] ?? "no revocation list and no OCSP response at hand is about it";
  throw trustFault(
    "ERR_REVOCATION_UNKNOWN",
    `whether ${certificateLabel(certificate)} was revoked is not known: ${reason}`,
    "pass the current revocation list of its issuer, or an OCSP response",
  );
}

function wasRevoked(certificate: Certificate, { revokedMs }: { readonly revokedMs?: number }) {
  const when = revokedMs === undefined ? "" : ` on ${day(revokedMs)}`;
  return trustFault(
    "ERR_CERTIFICATE_REVOKED",
    `${certificateLabel(certificate)} was revoked${when}`,
    "ask its holder for the current certificate",
  );
}

function statusByCrl(
  certificate: Certificate,
  issuer: Certificate,
  anchor: Certificate,
  sources: RevocationSources,
): RevocationStatus {
  const { crls, atMs, effort } = sources;
  const judge: CrlJudge = (crl, point) => {
    const weak = sources.signatures.algorithmFault(crl, "the list at hand");
    if (weak !== undefined) return weak.message;
    if (isSigned(crl, point, certificate, issuer, anchor, sources)) return undefined;
    return "the list at hand is not signed by one who may sign it";
  };
  return crlStatus(certificate, crls, atMs, judge, effort);
}

/**
 * §6.3.3 f: the list is signed by the certificate's issuer, or by another certificate of the
 * list's issuer whose path ends at the same anchor.
 */
function isSigned(
  crl: Crl,
  { crlIssuer }: DistributionPoint,
  certificate: Certificate,
  issuer: Certificate,
  anchor: Certificate,
  { signatures, others, isTrusted }: RevocationSources,
): boolean {
  const signs = (signer: Certificate): boolean =>
    signer.keyUsage?.has("cRLSign") !== false &&
    signatures.fault(crl, signer, "revocation list") === undefined;
  if (sameName(crl.issuer, issuer.subject) && signs(issuer)) return true;
  return others.named(crl.issuer).some((signer) => {
    if (!signs(signer)) return false;
    // An authority may let a certificate's own holder say whether it was revoked.
    if (sameCertificate(signer, certificate) && crlIssuer !== undefined) return true;
    return isTrusted(signer, anchor);
  });
}
