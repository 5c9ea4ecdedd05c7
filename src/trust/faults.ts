/** What can be wrong with a certificate, as errors that name the certificate and the rule. */
import { PolicyError } from "../errors.js";
import { printable } from "../printable.js";
import type { Certificate } from "../x509/certificate.js";
import { nameText, type Name } from "../x509/name.js";

/** The codes of all errors that `src/trust` throws, apart from those of malformed input. */
export type TrustCode =
  /** No chain of signatures leads to a trust anchor. */
  | "ERR_CERTIFICATE_PATH"
  /** Outside its validity. */
  | "ERR_CERTIFICATE_TIME"
  /** A rule of RFC 5280 for paths: an issuer must be an authority, the length, extensions. */
  | "ERR_CERTIFICATE_RULE"
  /** A name outside of what an authority may certify. */
  | "ERR_CERTIFICATE_NAME"
  /** Policies that were required are not there. */
  | "ERR_CERTIFICATE_POLICY"
  /** Not for this use. */
  | "ERR_CERTIFICATE_USAGE"
  /** A signature that doesn't verify, or by an algorithm or key that is too weak. */
  | "ERR_CERTIFICATE_SIGNATURE"
  | "ERR_CERTIFICATE_REVOKED"
  /** Whether it was revoked could not be found out. */
  | "ERR_REVOCATION_UNKNOWN"
  /** The check would take too long. */
  | "ERR_CERTIFICATE_EFFORT";

export function trustFault(code: TrustCode, message: string, hint?: string): PolicyError {
  return new PolicyError(code, message, hint === undefined ? {} : { hint });
}

/** As in `certificate of CN=Bob,O=Example`. */
export function certificateLabel(certificate: Certificate): string {
  return `certificate of ${nameLabel(certificate.subject)}`;
}

/** A name, safe to print and of bounded length. */
export function nameLabel(name: Name): string {
  const text = printable(nameText(name));
  if (text === "") return "nobody (an empty name)";
  return text.length > MAX_LABEL ? `${text.slice(0, MAX_LABEL)}…` : text;
}

/** As in `2026-01-15`. */
export function day(ms: number): string {
  return new Date(ms).toISOString().replace(/T.*/, "");
}

const MAX_LABEL = 200;
