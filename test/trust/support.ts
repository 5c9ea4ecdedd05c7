/** How the tests of trust ask whether a certificate is believed, and what is wrong if not. */
import { PolicyError } from "../../src/errors.js";
import { requireTrusted, type TrustDemands, type TrustedPath } from "../../src/trust/trust.js";
import type { Certificate } from "../../src/x509/certificate.js";
import { NOW_MS, type Issuer } from "../support/certificates.js";

export interface Asked extends Partial<Omit<TrustDemands, "anchors" | "others">> {
  readonly anchors: readonly Issuer[];
  readonly others?: readonly Issuer[];
}

export function trusted(certificate: Issuer | Certificate, asked: Asked): TrustedPath {
  const { anchors, others = [], ...demands } = asked;
  return requireTrusted("certificate" in certificate ? certificate.certificate : certificate, {
    ...{ atMs: NOW_MS, use: "any", ...demands },
    anchors: anchors.map((one) => one.certificate),
    others: others.map((one) => one.certificate),
  });
}

/** "trusted", or the code and the message. */
export function verdict(certificate: Issuer | Certificate, asked: Asked): string {
  try {
    trusted(certificate, asked);
    return "trusted";
  } catch (error) {
    if (error instanceof PolicyError) return `${error.code}: ${error.message}`;
    throw error;
  }
}
