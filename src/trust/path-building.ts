/**
 * Paths from a certificate to a trust anchor (RFC 4158): issuers are looked for by name among the
 * certificates at hand, and a step is taken only when the signature fits. No certificate's key
 * occurs twice under one name in a path, so there are no circles.
 */
import type { PolicyError } from "../errors.js";
import { equal } from "../bytes.js";
import { isSelfIssued, sameCertificate, type Certificate } from "../x509/certificate.js";
import { nameKey, sameName, type Name } from "../x509/name.js";
import type { Effort } from "./effort.js";
import { certificateLabel, nameLabel, trustFault } from "./faults.js";
import type { SignatureChecker } from "./signature-check.js";

/** Certificates by the name of their subject, each once. */
export class CertificatePool {
  readonly #bySubject = new Map<string, Certificate[]>();

  constructor(certificates: readonly Certificate[]) {
    for (const certificate of certificates) {
      const key = nameKey(certificate.subject);
      const same = this.#bySubject.get(key) ?? [];
      if (same.some((other) => sameCertificate(other, certificate))) continue;
      this.#bySubject.set(key, [...same, certificate]);
    }
  }

  has(certificate: Certificate): boolean {
    return this.named(certificate.subject).some((other) => sameCertificate(other, certificate));
  }

  /** Those that may have issued `certificate`, by name; the most likely ones first. */
  issuersOf(certificate: Certificate): Certificate[] {
    const keyId = certificate.authorityKeyId?.keyId;
    const issuers = this.named(certificate.issuer);
    if (keyId === undefined) return issuers;
    const rank = ({ subjectKeyId }: Certificate): number =>
      subjectKeyId === undefined ? 1 : equal(subjectKeyId, keyId) ? 0 : 2;
    return [...issuers].sort((a, b) => rank(a) - rank(b));
  }

  /** Those whose subject this is. */
  named(name: Name): Certificate[] {
    return this.#bySubject.get(nameKey(name)) ?? [];
  }
}

export interface PathSearch {
  readonly anchors: CertificatePool;
  readonly others: CertificatePool;
  /** How many intermediate certificates that are not self-issued a path may have. */
  readonly maxIntermediates: number;
  readonly effort: Effort;
  readonly signatures: SignatureChecker;
}

/**
 * The paths of a certificate, which comes first; the anchor comes last. An anchor is a path of its
 * own. Ends with the reason why there is no further path.
 *
 * @throws PolicyError `ERR_CERTIFICATE_EFFORT`.
 */
export function* pathsOf(
  certificate: Certificate,
  search: PathSearch,
): Generator<Certificate[], PolicyError> {
  if (search.anchors.has(certificate)) yield [certificate];
  const dead = new DeadEnd(certificate);
  yield* extend([certificate], search, dead);
  return dead.reason();
}

function* extend(
  path: readonly Certificate[],
  search: PathSearch,
  dead: DeadEnd,
): Generator<Certificate[], void> {
  const last = path.at(-1) as Certificate;
  const { anchors, others } = search;
  let found = 0;
  for (const anchor of anchors.issuersOf(last)) {
    if (isRepeated(path, anchor, search)) continue;
    found++;
    if (isSignedBy(path, anchor, search, dead)) yield [...path, anchor];
  }
  for (const issuer of others.issuersOf(last)) {
    if (anchors.has(issuer) || isRepeated(path, issuer, search)) continue;
    found++;
    if (!isLengthLeft(path, issuer, search)) dead.tooLong(path);
    else if (isSignedBy(path, issuer, search, dead)) {
      yield* extend([...path, issuer], search, dead);
    }
  }
  if (found === 0) dead.noIssuer(path);
}

function isSignedBy(
  path: readonly Certificate[],
  issuer: Certificate,
  { signatures }: PathSearch,
  dead: DeadEnd,
): boolean {
  const last = path.at(-1) as Certificate;
  const fault = signatures.fault(last, issuer, certificateLabel(last));
  if (fault !== undefined) dead.signature(path, fault);
  return fault === undefined;
}

function isRepeated(
  path: readonly Certificate[],
  next: Certificate,
  { effort }: PathSearch,
): boolean {
  effort.step();
  return path.some(
    ({ subject, spki }) => sameName(subject, next.subject) && equal(spki, next.spki),
  );
}

function isLengthLeft(
  path: readonly Certificate[],
  next: Certificate,
  { maxIntermediates }: PathSearch,
): boolean {
  const intermediates = [...path.slice(1), next];
  const counted = intermediates.filter((one) => !isSelfIssued(one));
  return counted.length <= maxIntermediates && intermediates.length <= MAX_INTERMEDIATES;
}

/** Why a search found nothing: the reason that it met farthest from the certificate. */
class DeadEnd {
  readonly #what: string;
  #reason: () => PolicyError;
  #length = 0;

  constructor(certificate: Certificate) {
    this.#what = certificateLabel(certificate);
    this.#reason = () => this.#fault("no chain leads to a trusted authority");
  }

  signature(path: readonly Certificate[], fault: PolicyError): void {
    this.#meet(path, () => fault);
  }

  tooLong({ length }: readonly Certificate[]): void {
    // Rather than that some other certificate of the name didn't sign the last one.
    this.#meet({ length: length + 1 }, () => this.#fault("its chain is too long"));
  }

  /** There is no certificate with the name of the issuer that is not in the path already. */
  noIssuer(path: readonly Certificate[]): void {
    this.#meet(path, () => {
      const last = path.at(-1) as Certificate;
      const issuer = nameLabel(last.issuer);
      if (isSelfIssued(last)) {
        return this.#fault(
          `its chain ends at ${issuer}, which is not trusted`,
          "to believe that authority, give its certificate: --trust FILE, or `p11seal trust add`",
        );
      }
      return this.#fault(
        `${issuer} is no trusted authority, and its certificate is not at hand`,
        "give that authority's certificate: with --trust if you believe it, or else in the chain",
      );
    });
  }

  reason(): PolicyError {
    return this.#reason();
  }

  #meet({ length }: { readonly length: number }, reason: () => PolicyError): void {
    if (length <= this.#length) return;
    this.#length = length;
    this.#reason = reason;
  }

  #fault(message: string, hint?: string): PolicyError {
    return trustFault("ERR_CERTIFICATE_PATH", `${this.#what}: ${message}`, hint);
  }
}

/** Self-issued ones included. */
const MAX_INTERMEDIATES = 10;
