/** CMS messages put together by hand, so that any part of one can be wrong. */
import {
  constants,
  createCipheriv,
  createECDH,
  createHash,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { der, derUnsigned, TAG } from "../../../src/asn1/der.js";
import { derOid } from "../../../src/asn1/oid.js";
import { concat, u32 } from "../../../src/bytes.js";
import type { EcPublicKey, RsaPublicKey } from "../../../src/keys/key.js";

export const OID = {
  data: "1.2.840.113549.1.7.1",
  signedData: "1.2.840.113549.1.7.2",
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

/** EnvelopedData, with AES-256-CBC under `KEY`. */
export function madeInCbc(
  recipients: readonly Uint8Array[],
  plaintext: Uint8Array,
  parts: Parts = {},
): Uint8Array {
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-cbc", KEY, iv);
  return made({
    ...{ type: OID.envelopedData, version: 2, recipients, trailer: [] },
    encryption: algorithm(OID.aes256Cbc, octets(iv)),
    content: concat(cipher.update(plaintext), cipher.final()),
    ...parts,
  });
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

export interface AgreementParts {
  readonly version?: number;
  /** What stands beside the OID of the originator's key. */
  readonly curve?: readonly Uint8Array[];
  /** The originator's public key. */
  readonly point?: Uint8Array;
  readonly scheme?: string;
  /** The key wrap's AlgorithmIdentifier; none: `null`. */
  readonly wrap?: Uint8Array | null;
  /** The same for OpenSSL, with the length of its key. */
  readonly cipher?: readonly [string, 24 | 32];
  readonly ukm?: Uint8Array;
  readonly rid?: Uint8Array;
  readonly encryptedKey?: Uint8Array;
  /** How many times the recipient is in it. */
  readonly times?: number;
}

export const P256 = derOid("1.2.840.10045.3.1.7");
const AES_256_WRAP = algorithm("2.16.840.1.101.3.4.1.45");

/**
 * KeyAgreeRecipientInfo to a P-256 key, named by a key identifier; by default with SHA-256 and
 * AES-256 key wrap. RFC 5753 §7.2, apart from the code that is tested.
 */
export function agreement(to: EcPublicKey, keyId: Uint8Array, parts: AgreementParts = {}) {
  const { curve = [P256], wrap = AES_256_WRAP, times = 1 } = parts;
  const { cipher = ["id-aes256-wrap", 32], scheme = "1.3.132.1.11.1", ukm } = parts;
  const ephemeral = createECDH("prime256v1");
  const point = ephemeral.generateKeys();
  const info = sequence(
    wrap ?? AES_256_WRAP,
    ...(ukm === undefined ? [] : [der(0xa0, octets(ukm))]),
    der(0xa2, octets(u32(8 * cipher[1]))),
  );
  const kek = createHash("sha256")
    .update(ephemeral.computeSecret(to.point))
    .update(u32(1))
    .update(info)
    .digest()
    .subarray(0, cipher[1]);
  const iv = cipher[0] === "des3-wrap" ? null : Buffer.alloc(8, 0xa6);
  const wrapping = createCipheriv(cipher[0], kek, iv);
  const wrapped = concat(wrapping.update(KEY), wrapping.final());
  const bits = der(TAG.bitString, Uint8Array.of(0), parts.point ?? point);
  const entry = sequence(
    parts.rid ?? der(0xa0, octets(keyId)),
    octets(parts.encryptedKey ?? wrapped),
  );
  return der(
    0xa1,
    number(parts.version ?? 3),
    der(0xa0, der(0xa1, algorithm("1.2.840.10045.2.1", ...curve), bits)),
    ...(ukm === undefined ? [] : [der(0xa1, octets(ukm))]),
    wrap === null ? algorithm(scheme) : algorithm(scheme, wrap),
    sequence(...new Array<Uint8Array>(times).fill(entry)),
  );
}
