/** What a certification request says (PKCS #10, RFC 2986 §4), written as DER. */
import { ascii } from "../bytes.js";
import { FormatError } from "../errors.js";
import { type AlgorithmIdentifier, derAlgorithm } from "../asn1/algorithm-identifier.js";
import { der, derUnsigned, TAG } from "../asn1/der.js";
import { derOid } from "../asn1/oid.js";
import { EXTENSION } from "./extensions.js";

/** What is asked for. */
export interface RequestContents {
  /** The subject's Name, DER. */
  readonly subject: Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** Mail addresses, for the alternative names; with one, the key is asked to be for mail. */
  readonly mail: readonly string[];
  /** Key usages (RFC 5280 §4.2.1.3); none: the CA decides. */
  readonly usages: readonly RequestedUsage[];
}

/** Key usages, with the number of their bit. */
const USAGE_BITS = { digitalSignature: 0, keyEncipherment: 2, keyAgreement: 4 } as const;

export type RequestedUsage = keyof typeof USAGE_BITS;

/**
 * CertificationRequestInfo, which the request's signature covers. Extensions are asked for as in
 * RFC 2985 §5.4.2.
 *
 * @throws FormatError `ERR_MAIL_ADDRESS`: an address that a certificate can't hold in this form
 */
export function requestInfo(contents: RequestContents): Uint8Array<ArrayBuffer> {
  const { subject, spki, mail, usages } = contents;
  const extensions: Uint8Array[] = [];
  if (usages.length > 0)
    extensions.push(extension(EXTENSION.keyUsage, keyUsage(usages), "critical"));
  if (mail.length > 0) {
    extensions.push(
      extension(EXTENSION.subjectAltName, der(TAG.sequence, ...mail.map(rfc822Name))),
    );
    extensions.push(
      extension(EXTENSION.extendedKeyUsage, der(TAG.sequence, derOid(EMAIL_PROTECTION))),
    );
  }
  const attributes = extensions.length === 0 ? [] : [extensionRequest(extensions)];
  const version = derUnsigned(new Uint8Array());
  return der(TAG.sequence, version, subject, spki, der(TAG_ATTRIBUTES, ...attributes));
}

/** The whole CertificationRequest. */
export function signedRequest(
  info: Uint8Array,
  algorithm: AlgorithmIdentifier,
  signature: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const bits = der(TAG.bitString, Uint8Array.of(0), signature);
  return der(TAG.sequence, info, derAlgorithm(algorithm), bits);
}

function extensionRequest(extensions: readonly Uint8Array[]): Uint8Array {
  const values = der(TAG.set, der(TAG.sequence, ...extensions));
  return der(TAG.sequence, derOid(EXTENSION_REQUEST), values);
}

/** Refuses what is plainly no mail address, or not one of ASCII (for others see RFC 8398). */
function rfc822Name(address: string): Uint8Array {
  if (!/^[!-?A-~]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/.test(address)) {
    throw new FormatError("ERR_MAIL_ADDRESS", `not a mail address: ${JSON.stringify(address)}`);
  }
  return der(TAG_RFC822_NAME, ascii(address));
}

function extension(oid: string, value: Uint8Array, critical?: "critical"): Uint8Array {
  const flag = critical === undefined ? [] : [der(TAG.boolean, Uint8Array.of(0xff))];
  return der(TAG.sequence, derOid(oid), ...flag, der(TAG.octetString, value));
}

/** Named bits: trailing zero bits are left out (X.690 §11.2.2). */
function keyUsage(usages: readonly RequestedUsage[]): Uint8Array {
  const bits = usages.map((usage) => USAGE_BITS[usage]);
  const byte = bits.reduce<number>((sum, bit) => sum | (0x80 >> bit), 0);
  return der(TAG.bitString, Uint8Array.of(7 - Math.max(...bits), byte));
}

const EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";
const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";

/** Context tags: attributes [0], and rfc822Name [1] of GeneralName. */
const TAG_ATTRIBUTES = 0xa0;
const TAG_RFC822_NAME = 0x81;
