/**
 * A certification request (PKCS #10, RFC 2986): what a CA is sent. Its signature shows that whoever
 * asks has the private key, so a key that can't sign has no request.
 */
import { requestInfo, signedRequest, type RequestedUsage } from "../x509/request-info.js";
import { nameFromText } from "../x509/name-from-text.js";
import type { PrivateKey, PublicKey, SigningPublicKey } from "./key.js";
import { x509Signing } from "./x509-signing.js";

/** Whom a certificate is asked for. */
export interface RequestedNames {
  /** The subject, as in `CN=Bob,O=Example` (RFC 4514). */
  readonly subject: string;
  /** Mail addresses. */
  readonly mail?: readonly string[];
}

/**
 * The request, DER.
 *
 * @param uses - what the certificate is to allow; none: the CA decides
 * @throws FormatError `ERR_MAIL_ADDRESS`; as `nameFromText`, `x509Signing`
 */
export async function certificateRequest(
  key: PrivateKey<SigningPublicKey>,
  { subject, mail = [] }: RequestedNames,
  uses: readonly ("exchange" | "sign")[],
): Promise<Uint8Array> {
  const { publicKey } = key;
  const usages = uses.map((use) => usageOf(publicKey, use));
  const info = requestInfo({
    subject: nameFromText(subject),
    ...{ mail, spki: publicKey.spki, usages },
  });
  const signing = x509Signing(key);
  return signedRequest(info, signing.algorithm, await signing.sign(info));
}

function usageOf({ type }: PublicKey, use: "exchange" | "sign"): RequestedUsage {
  if (use === "sign") return "digitalSignature";
  return type === "rsa" ? "keyEncipherment" : "keyAgreement";
}
