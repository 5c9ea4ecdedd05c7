/**
 * The status of one certificate by OCSP responses (RFC 6960 §3.2) that somebody fetched before.
 * They are judged by their times; nonces do not count, as no request was sent from here.
 */
import { createHash } from "node:crypto";
import { DerReader, TAG } from "../asn1/der.js";
import { equal } from "../bytes.js";
import { defined } from "../defined.js";
import type { Certificate } from "../x509/certificate.js";
import { EXTENSION } from "../x509/extensions.js";
import type { OcspResponse, OcspStatus } from "../x509/ocsp-response.js";
import { sameName } from "../x509/name.js";
import { PURPOSE } from "./certificate-usage.js";
import { certificateLabel } from "./faults.js";
import { CLOCK_SKEW_MS, type RevocationStatus } from "./revocation-status.js";
import type { SignatureChecker } from "./signature-check.js";

/** What an answer is judged with. */
export interface OcspJudge {
  readonly atMs: number;
  readonly signatures: SignatureChecker;
  /** Whether the certificate of a responder, issued by this authority, was revoked. */
  readonly isRevoked: (responder: Certificate, issuer: Certificate) => boolean;
}

/** @param issuer - the certificate of the one who issued `certificate`, from its path. */
export function ocspStatus(
  certificate: Certificate,
  issuer: Certificate,
  responses: readonly OcspResponse[],
  judge: OcspJudge,
): RevocationStatus {
  let why: string | undefined;
  const newestFirst = [...responses].sort((a, b) => b.producedMs - a.producedMs);
  for (const response of newestFirst) {
    const answer = response.statuses.find((one) => isAbout(one, certificate, issuer));
    if (answer === undefined) continue;
    const doubt = doubtOf(response, answer, issuer, judge);
    if (doubt !== undefined) {
      why ??= doubt;
      continue;
    }
    switch (answer.status) {
      case "good":
        return { status: "good", asOfMs: answer.thisUpdateMs };
      case "revoked":
        return { status: "revoked", ...defined({ revokedMs: answer.revokedMs }) };
      case "unknown":
        why ??= "the responder doesn't know the certificate";
    }
  }
  return { status: "unknown", ...defined({ why }) };
}

function isAbout(answer: OcspStatus, certificate: Certificate, issuer: Certificate): boolean {
  const hash = HASHES[answer.hashAlgorithm.oid];
  if (hash === undefined || !equal(answer.serial, certificate.serial)) return false;
  const digest = (bytes: Uint8Array): Uint8Array => createHash(hash).update(bytes).digest();
  return (
    equal(digest(issuer.subject.der), answer.issuerNameHash) &&
    equal(digest(keyBits(issuer)), answer.issuerKeyHash)
  );
}

/** Why an answer can't be used. */
function doubtOf(
  response: OcspResponse,
  { thisUpdateMs, nextUpdateMs, extensions }: OcspStatus,
  issuer: Certificate,
  judge: OcspJudge,
): string | undefined {
  const { atMs } = judge;
  const all = [...response.extensions.values(), ...extensions.values()];
  if (all.some(({ critical }) => critical)) {
    return "the OCSP response has a critical extension that is not understood";
  }
  if (thisUpdateMs > atMs + CLOCK_SKEW_MS || response.producedMs > atMs + CLOCK_SKEW_MS) {
    return "the OCSP response is of a later time";
  }
  // RFC 6960 §4.2.2.1: without a next update, newer answers are there all the time.
  if ((nextUpdateMs ?? thisUpdateMs + DAY_MS) < atMs) return "the OCSP response is out of date";
  const weak = judge.signatures.algorithmFault(response, "the OCSP response");
  if (weak !== undefined) return weak.message;
  if (!isSignedByResponder(response, issuer, judge)) {
    return "the OCSP response is not signed by one who may answer for the issuer";
  }
  return undefined;
}

/** RFC 6960 §4.2.2.2: the issuer itself, or one whom the issuer made its responder. */
function isSignedByResponder(
  response: OcspResponse,
  issuer: Certificate,
  { signatures, atMs, isRevoked }: OcspJudge,
): boolean {
  const signs = (signer: Certificate): boolean =>
    isNamed(response, signer) && signatures.fault(response, signer, "OCSP response") === undefined;
  if (signs(issuer)) return true;
  return response.certificates.some((delegate) => {
    return (
      isDelegate(delegate, issuer, atMs) &&
      signatures.fault(delegate, issuer, certificateLabel(delegate)) === undefined &&
      signs(delegate) &&
      (delegate.extensions.has(NO_CHECK) || !isRevoked(delegate, issuer))
    );
  });
}

function isDelegate(delegate: Certificate, issuer: Certificate, atMs: number): boolean {
  const { extendedKeyUsage, keyUsage, notBeforeMs, notAfterMs, extensions } = delegate;
  return (
    sameName(delegate.issuer, issuer.subject) &&
    // anyExtendedKeyUsage is not enough: a responder is one on purpose.
    extendedKeyUsage?.has(PURPOSE.ocspSigning) === true &&
    keyUsage?.has("digitalSignature") !== false &&
    notBeforeMs <= atMs &&
    atMs <= notAfterMs &&
    [...extensions].every(([oid, { critical }]) => !critical || UNDERSTOOD.has(oid))
  );
}

function isNamed({ responder }: OcspResponse, signer: Certificate): boolean {
  if ("name" in responder) return sameName(responder.name, signer.subject);
  return equal(createHash("sha1").update(keyBits(signer)).digest(), responder.keyHash);
}

/** The key alone: the content of the BIT STRING in SubjectPublicKeyInfo. */
function keyBits({ spki }: Certificate): Uint8Array {
  const fields = new DerReader(spki, "public key").sequence();
  fields.read(TAG.sequence);
  return fields.bitString();
}

/** CertID's hashes. They name the issuer and protect nothing, so SHA-1 will do. */
const HASHES: Readonly<Record<string, string>> = {
  "1.3.14.3.2.26": "sha1",
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};

/** id-pkix-ocsp-nocheck (§4.2.2.2.1): the responder's certificate need not be checked. */
const NO_CHECK = "1.3.6.1.5.5.7.48.1.5";

/** Extensions of a responder's certificate that may be critical. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXTENSION.keyUsage,
  EXTENSION.basicConstraints,
  EXTENSION.extendedKeyUsage,
  NO_CHECK,
]);

const DAY_MS = 86_400_000;
