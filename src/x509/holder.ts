/** Whether a certificate is one of a person who is named: by mail address, or by name. */
import type { Certificate } from "./certificate.js";
import { ATTRIBUTE, attributeTexts, nameText } from "./name.js";

/**
 * True if `name` is one of the certificate's mail addresses, its common name, or its whole subject
 * as RFC 4514 writes it. Case matters only before the `@` of an address (RFC 5321 §2.4).
 *
 * An address is never looked for in the common name: an authority that may certify the addresses of
 * one domain only may still write any common name.
 */
export function isHolder(certificate: Certificate, name: string): boolean {
  const { subject, mailAddresses } = certificate;
  const folded = name.toLowerCase();
  if (folded === "") return false;
  if (nameText(subject).toLowerCase() === folded) return true;
  if (name.includes("@")) {
    const wanted = foldedAddress(name);
    return mailAddresses.some((address) => foldedAddress(address) === wanted);
  }
  return attributeTexts(subject, ATTRIBUTE.commonName).some((one) => one.toLowerCase() === folded);
}

function foldedAddress(address: string): string {
  const at = address.lastIndexOf("@");
  return address.slice(0, at) + address.slice(at).toLowerCase();
}
