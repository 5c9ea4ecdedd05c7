/** What a certificate says, for people and as JSON: whose it is, by whom, and until when. */
import type { Certificate } from "../../x509/certificate.js";
import { readableCertificates } from "../../x509/certificate-file.js";
import { nameText } from "../../x509/name.js";
import { toHex } from "../../bytes.js";
import { formatMoment } from "../../records/directory/directory.js";

/** As JSON has it. */
export interface CertificateData {
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal. */
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly mail: readonly string[];
}

export function certificateData(certificate: Certificate): CertificateData {
  const { subject, issuer, serial, notBeforeMs, notAfterMs, mailAddresses } = certificate;
  return {
    subject: nameText(subject),
    issuer: nameText(issuer),
    serial: toHex(serial),
    notBefore: formatMoment(notBeforeMs),
    notAfter: formatMoment(notAfterMs),
    mail: mailAddresses,
  };
}

/** On one line, as in `CN=Bob,O=Example until 2027-01-31T12:00:00Z`. */
export function certificateLine(certificate: Certificate): string {
  const { subject, notAfterMs, mailAddresses } = certificate;
  const who = nameText(subject) || mailAddresses.join(", ") || "(no name)";
  return `${who} until ${formatMoment(notAfterMs)}`;
}

/** Of one key's certificates, DER, the one that was issued last. */
export function newest(certificates: readonly Uint8Array[]): Certificate | undefined {
  return lastIssued(readableCertificates(certificates));
}

export function lastIssued(certificates: readonly Certificate[]): Certificate | undefined {
  return [...certificates].sort((a, b) => b.notBeforeMs - a.notBeforeMs)[0];
}
