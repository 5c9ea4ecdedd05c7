/**
 * The public key of an X.509 certificate (RFC 5280 §4.1). Here the certificate is only a container
 * for the key: no chain is built and no signature is checked, which is what `src/trust` is for. If
 * the certificate itself speaks against the use, that becomes a warning.
 */
import { defined } from "../../defined.js";
import { parseX509, type Certificate } from "../../x509/certificate.js";
import type { KeyUsage } from "../../x509/extensions.js";
import type { OaepHash, PublicKey } from "../key.js";
import { keyInSpki } from "../public-key.js";

export interface CertifiedKey {
  readonly publicKey: PublicKey;
  readonly certificate: Certificate;
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
export function parseCertifiedKey(bytes: Uint8Array, now: Date): CertifiedKey {
  const certificate = parseX509(bytes);
  const { publicKey, oaep } = keyInSpki(certificate.spki);
  const { keyUsage } = certificate;
  const warnings = [...validityWarnings(certificate, now), ...usageWarnings(publicKey, keyUsage)];
  const signs = keyUsage === undefined || SIGNING.some((usage) => keyUsage.has(usage));
  const use = signs ? undefined : ("exchange" as const);
  return { publicKey, certificate, warnings, ...defined({ oaep, use }) };
}

function validityWarnings({ notBeforeMs, notAfterMs }: Certificate, now: Date): string[] {
  if (now.getTime() < notBeforeMs) return [`certificate is not valid before ${day(notBeforeMs)}`];
  if (now.getTime() > notAfterMs) return [`certificate expired on ${day(notAfterMs)}`];
  return [];
}

function usageWarnings(
  publicKey: PublicKey,
  keyUsage: ReadonlySet<KeyUsage> | undefined,
): string[] {
  if (keyUsage === undefined || publicKey.type === "ed25519") return [];
  const needed = publicKey.type === "rsa" ? "keyEncipherment" : "keyAgreement";
  if (keyUsage.has(needed)) return [];
  return [`certificate's key usage does not include ${needed}: its key is not meant to receive`];
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

const SIGNING = ["digitalSignature", "nonRepudiation"] as const;
