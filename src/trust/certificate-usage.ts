/** What a certificate's key may be used for: key usage and extended key usage (RFC 5280). */
import { P11SealError, UnsupportedError } from "../errors.js";
import type { PublicKey } from "../keys/key.js";
import { publicKeyFromFileSpki } from "../keys/public-key.js";
import { requireExchange } from "../keys/recipient-strength.js";
import type { Certificate } from "../x509/certificate.js";
import type { KeyUsage } from "../x509/extensions.js";
import { certificateLabel, trustFault } from "./faults.js";

/**
 * `encrypt`: messages may be encrypted to it. `sign`: it may sign messages. `any`: neither is
 * asked.
 */
export type CertificateUse = "encrypt" | "sign" | "any";

/** Dotted OIDs of purposes. */
export const PURPOSE = {
  any: "2.5.29.37.0",
  emailProtection: "1.3.6.1.5.5.7.3.4",
  ocspSigning: "1.3.6.1.5.5.7.3.9",
  /** Microsoft's document encryption, which `Protect-CmsMessage` wants. */
  documentEncryption: "1.3.6.1.4.1.311.80.1",
  /** Microsoft's document signing, and RFC 9336's. */
  microsoftDocumentSigning: "1.3.6.1.4.1.311.10.3.12",
  documentSigning: "1.3.6.1.5.5.7.3.36",
} as const;

/**
 * Refuses a path whose certificate is not for this use. Purposes of the authorities between it and
 * the anchor limit it as well: RFC 5280 doesn't say so, but that is why authorities have any.
 *
 * @param path - the certificate first, the anchor last.
 * @throws PolicyError `ERR_CERTIFICATE_USAGE`: also for an RSA key that is too weak.
 */
export function requireUse(path: readonly Certificate[], use: CertificateUse): void {
  if (use === "any") return;
  const { keyUsages, purposes } = USES[use];
  const [certificate, ...issuers] = path as readonly [Certificate, ...Certificate[]];
  const key = soundKey(certificate);
  const { keyUsage } = certificate;
  if (keyUsage !== undefined && !keyUsages(key).some((usage) => keyUsage.has(usage))) {
    throw misuse(certificate, use, "key usage");
  }
  for (const limited of [certificate, ...issuers.slice(0, -1)]) {
    requirePurpose(limited, use, purposes);
  }
}

/** The certificate's key; undefined for a kind that is not supported, which its use refuses. */
function soundKey(certificate: Certificate): PublicKey | undefined {
  try {
    const key = publicKeyFromFileSpki(certificate.spki);
    if (key.type === "rsa") requireExchange(key);
    return key;
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined;
    if (!(error instanceof P11SealError)) throw error;
    throw trustFault(
      "ERR_CERTIFICATE_USAGE",
      `${certificateLabel(certificate)}: ${error.message}`,
      error.hint,
    );
  }
}

function requirePurpose(
  certificate: Certificate,
  use: "encrypt" | "sign",
  purposes: readonly string[],
): void {
  const { extendedKeyUsage } = certificate;
  if (extendedKeyUsage === undefined || extendedKeyUsage.has(PURPOSE.any)) return;
  if (purposes.some((purpose) => extendedKeyUsage.has(purpose))) return;
  throw misuse(certificate, use, "extended key usage");
}

function misuse(certificate: Certificate, use: "encrypt" | "sign", which: string) {
  return trustFault(
    "ERR_CERTIFICATE_USAGE",
    `${certificateLabel(certificate)} is not for ${USES[use].doing}: its ${which} says otherwise`,
    "people often have two certificates, one to sign and one to receive; take the other one",
  );
}

interface Use {
  readonly doing: string;
  /** Any of these will do. */
  readonly keyUsages: (key: PublicKey | undefined) => readonly KeyUsage[];
  readonly purposes: readonly string[];
}

const USES: Readonly<Record<"encrypt" | "sign", Use>> = {
  encrypt: {
    doing: "encrypting messages to its holder",
    keyUsages: (key) => {
      if (key?.type === "ec" || key?.type === "x25519") return ["keyAgreement"];
      return ["keyEncipherment"];
    },
    purposes: [PURPOSE.emailProtection, PURPOSE.documentEncryption],
  },
  sign: {
    doing: "signing messages",
    keyUsages: () => ["digitalSignature", "nonRepudiation"],
    purposes: [PURPOSE.emailProtection, PURPOSE.documentSigning, PURPOSE.microsoftDocumentSigning],
  },
};
