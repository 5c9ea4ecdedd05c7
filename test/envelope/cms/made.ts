/** CMS messages put together by hand, so that any part of one can be wrong. */
import { constants, createCipheriv, publicEncrypt } from "node:crypto";
import { der, derUnsigned, TAG } from "../../../src/asn1/der.js";
import { derOid } from "../../../src/asn1/oid.js";
import { concat } from "../../../src/bytes.js";
import type { RsaPublicKey } from "../../../src/keys/key.js";

export const OID = {
  data: "1.2.840.113549.1.7.1",
  envelopedData: "1.2.840.113549.1.7.3",
  authEnvelopedData: "1.2.840.113549.1.9.16.1.23",
  aes256Gcm: "2.16.840.1.101.3.4.1.46",
  aes256Cbc: "2.16.840.1.101.3.4.1.42",
  rsa: "1.2.840.113549.1.1.1",
  oaep: "1.2.840.113549.1.1.7",
} as const;

export const KEY = new Uint8Array(32).fill(7);
export const NONCE = new Uint8Array(12).fill(9);
export const PLAINTEXT = new TextEncoder().encode("the content of the message");

export function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return der(TAG.sequence, ...parts);
}

export function octets(bytes: Uint8Array, tag: number = TAG.octetString): Uint8Array {
  return der(tag, bytes);
}

export function number(value: number): Uint8Array {
  return derUnsigned(Uint8Array.of(value >> 8, value & 0xff));
}

export function algorithm(oid: string, ...parameters: readonly Uint8Array[]): Uint8Array {
  return sequence(derOid(oid), ...parameters);
}

export function gcmAlgorithm(tagBytes: number | undefined = 16, nonce = NONCE): Uint8Array {
  const length = tagBytes === 12 ? [] : [number(tagBytes)];
  return algorithm(OID.aes256Gcm, sequence(octets(nonce), ...length));
}

/** Parts of a message; each has what a good one has unless it is given. */
export interface Parts {
  readonly type?: string;
  readonly version?: number;
  readonly recipients?: readonly Uint8Array[];
  readonly contentType?: string;
  readonly plaintext?: Uint8Array;
  readonly encryption?: Uint8Array;
  /** Where there is none: `null`. */
  readonly content?: Uint8Array | null;
  /** Authenticated attributes, whole, in their order. */
  readonly attributes?: readonly Uint8Array[];
  /** What stands behind the encrypted content; by default attributes and tag. */
  readonly trailer?: readonly Uint8Array[];
  readonly after?: Uint8Array;
  readonly tagBytes?: number;
  /** What the content is encrypted with, where it is not the key that recipients get. */
  readonly contentKey?: Uint8Array;
}

export function made(parts: Parts): Uint8Array {
  const { type = OID.authEnvelopedData, version = 0, recipients = [], attributes = [] } = parts;
  const { contentType = OID.data, encryption = gcmAlgorithm(), after = new Uint8Array(0) } = parts;
  const cipher = createCipheriv("aes-256-gcm", parts.contentKey ?? KEY, NONCE);
  if (attributes.length > 0) cipher.setAAD(der(TAG.set, ...attributes));
  const ciphertext = concat(cipher.update(parts.plaintext ?? PLAINTEXT), cipher.final());
  const content = parts.content === undefined ? ciphertext : parts.content;
  const tag = cipher.getAuthTag().subarray(0, parts.tagBytes ?? 16);
  const authenticated = attributes.length === 0 ? [] : [der(0xa1, ...attributes)];
  const encrypted = sequence(
    derOid(contentType),
    encryption,
    ...(content === null ? [] : [octets(content, 0x80)]),
  );
  const envelope = sequence(
    number(version),
    der(TAG.set, ...recipients),
    encrypted,
    ...(parts.trailer ?? [...authenticated, octets(tag)]),
  );
  return concat(sequence(derOid(type), der(0xa0, envelope)), after);
}

export interface TransportParts {
  readonly version?: number;
  readonly algorithm?: Uint8Array;
  readonly encryptedKey?: Uint8Array;
  readonly keyId: Uint8Array;
}

/** KeyTransRecipientInfo with a key identifier; by default OAEP with SHA-1. */
export function transport(to: RsaPublicKey, parts: TransportParts): Uint8Array {
  const { version = 2, encryptedKey = oaep(to, KEY), keyId } = parts;
  const named = parts.algorithm ?? algorithm(OID.oaep, sequence());
  return sequence(number(version), octets(keyId, 0x80), named, octets(encryptedKey));
}

export function oaep(to: RsaPublicKey, key: Uint8Array): Uint8Array {
  return publicEncrypt({ key: to.object, padding: constants.RSA_PKCS1_OAEP_PADDING }, key);
}

export function pkcs1(to: RsaPublicKey, key: Uint8Array): Uint8Array {
  return publicEncrypt({ key: to.object, padding: constants.RSA_PKCS1_PADDING }, key);
}
