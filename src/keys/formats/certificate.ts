/**
 * The public key of an X.509 certificate (RFC 5280 §4.1). The certificate is only a container for
 * the key: no chain is built and no signature is checked. The key is trusted by its fingerprint or
 * not at all. If the certificate itself speaks against the use, that becomes a warning.
 */
import { X509Certificate } from "node:crypto";
import { defined } from "../../defined.js";
import { FormatError } from "../../errors.js";
import { DerReader, TAG } from "../../asn1/der.js";
import type { OaepHash, PublicKey } from "../key.js";
import { keyInSpki } from "../public-key.js";

export interface Certificate {
  readonly publicKey: PublicKey;
  /** The hash of an `id-RSAES-OAEP` key (RFC 4055 §4). */
  readonly oaep?: OaepHash;
  /** Facts in lower case, such as "certificate expired on 2024-05-01". */
  readonly warnings: readonly string[];
  /** Set if its key usage allows no signatures. */
  readonly use?: "exchange";
}

/**
 * @param now - the time its validity is judged by.
 * @throws FormatError `ERR_CERTIFICATE`, and those of the key; UnsupportedError `ERR_KEY_TYPE`.
 */
export function parseCertificate(bytes: Uint8Array, now: Date): Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(bytes);
  } catch {
    throw new FormatError("ERR_CERTIFICATE", "not an X.509 certificate");
  }
  const { spki, keyUsage } = readCertificate(bytes);
  const { publicKey, oaep } = keyInSpki(spki);
  const warnings = [
    ...validityWarnings(certificate, now),
    ...keyUsageWarnings(publicKey, keyUsage),
  ];
  const isForSigning = keyUsage === undefined || (keyUsage & SIGNING) !== 0;
  const use = isForSigning ? undefined : ("exchange" as const);
  return { publicKey, warnings, ...defined({ oaep, use }) };
}

interface Fields {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /**
   * First byte of the KeyUsage bits (RFC 5280 §4.2.1.3); `undefined` if the extension is absent.
   */
  readonly keyUsage: number | undefined;
}

/** Walks TBSCertificate to the key and the extensions; Node exposes neither in this form. */
function readCertificate(bytes: Uint8Array): Fields {
  const file = new DerReader(bytes, "certificate");
  const certificate = file.sequence();
  file.end();
  const tbs = certificate.sequence();
  if (tbs.peek() === TAG_VERSION) tbs.skip();
  tbs.read(TAG.integer); // serial number
  tbs.skip(); // signature algorithm
  tbs.skip(); // issuer
  tbs.skip(); // validity
  tbs.skip(); // subject
  const spki = tbs.next(TAG.sequence);
  while (tbs.peek() !== undefined && tbs.peek() !== TAG_EXTENSIONS) tbs.skip(); // unique ids
  if (tbs.peek() === undefined) return { spki, keyUsage: undefined };

  const wrapper = new DerReader(tbs.read(TAG_EXTENSIONS), "certificate");
  const extensions = wrapper.sequence();
  while (extensions.peek() !== undefined) {
    const extension = extensions.sequence();
    const oid = extension.read(TAG.oid);
    if (extension.peek() === TAG.boolean) extension.skip(); // critical
    if (!isKeyUsage(oid)) continue;
    const value = new DerReader(extension.read(TAG.octetString), "certificate's key usage");
    const [, bits = 0] = value.read(TAG.bitString);
    return { spki, keyUsage: bits };
  }
  return { spki, keyUsage: undefined };
}

function validityWarnings(certificate: X509Certificate, now: Date): string[] {
  const from = new Date(certificate.validFrom);
  const to = new Date(certificate.validTo);
  if (Number.isNaN(from.getTime()) || Number.isNaN(to.getTime())) {
    throw new FormatError("ERR_CERTIFICATE", "certificate has no readable validity");
  }
  if (now < from) return [`certificate is not valid before ${day(from)}`];
  if (now > to) return [`certificate expired on ${day(to)}`];
  return [];
}

function keyUsageWarnings(publicKey: PublicKey, keyUsage: number | undefined): string[] {
  if (keyUsage === undefined || publicKey.type === "ed25519") return [];
  const [bit, name] =
    publicKey.type === "rsa"
      ? [KEY_ENCIPHERMENT, "keyEncipherment"]
      : [KEY_AGREEMENT, "keyAgreement"];
  if ((keyUsage & bit) !== 0) return [];
  return [`certificate's key usage does not include ${name}: its key is not meant to receive`];
}

function isKeyUsage(oid: Uint8Array): boolean {
  return oid.length === 3 && oid[0] === 0x55 && oid[1] === 0x1d && oid[2] === 0x0f;
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** Context tags of TBSCertificate: version [0] and extensions [3]. */
const TAG_VERSION = 0xa0;
const TAG_EXTENSIONS = 0xa3;

/** Bit 2 and bit 4, counted from the top. */
const KEY_ENCIPHERMENT = 0x20;
const KEY_AGREEMENT = 0x08;
/** digitalSignature and nonRepudiation. */
const SIGNING = 0xc0;
