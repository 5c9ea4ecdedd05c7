/**
 * SignedData put together from DER values, so that a test can make any of them wrong. What is not
 * said is as a careful sender has it.
 */
import { createHash, sign, type KeyObject } from "node:crypto";
import { derAlgorithm, type AlgorithmIdentifier } from "../../src/asn1/algorithm-identifier.js";
import { der, TAG } from "../../src/asn1/der.js";
import { derOid } from "../../src/asn1/oid.js";
import { derTime } from "../../src/asn1/time.js";
import { concat } from "../../src/bytes.js";
import {
  NOW_MS,
  rootAuthority,
  smallInteger,
  subjectAltNames,
  generalName,
  keyUsage,
  type Issuer,
} from "./certificates.js";

const ROOT = rootAuthority("Root");

/** A signer with a P-256 key and a mail address. */
export const ALICE: Issuer = ROOT.issue({
  subject: { CN: "Alice" },
  extensions: [
    keyUsage("digitalSignature"),
    subjectAltNames(generalName.email("alice@example.com")),
  ],
});

export const DATA = "1.2.840.113549.1.7.1";
export const SIGNED_DATA = "1.2.840.113549.1.7.2";
export const SHA256 = "2.16.840.1.101.3.4.2.1";
const ECDSA_SHA256 = "1.2.840.10045.4.3.2";

export interface SignerOptions {
  readonly signer?: Issuer;
  readonly key?: KeyObject;
  readonly version?: number;
  /** Instead of issuer and serial number. */
  readonly id?: Uint8Array;
  readonly digest?: AlgorithmIdentifier;
  readonly algorithm?: AlgorithmIdentifier;
  /** Attributes, whole, in the order in which they are sent; null: none. */
  readonly attributes?: readonly Uint8Array[] | null;
  /** Unsigned ones. */
  readonly unsigned?: readonly Uint8Array[];
  /** What is signed in place of the attributes. */
  readonly signed?: Uint8Array;
  /** How it is hashed, for `node:crypto`. */
  readonly hash?: string | null;
}

export interface MessageOptions {
  readonly content?: Uint8Array | null;
  readonly contentType?: string;
  readonly version?: number;
  readonly digests?: readonly AlgorithmIdentifier[];
  readonly certificates?: readonly Uint8Array[];
  readonly crls?: readonly Uint8Array[];
  readonly signers?: readonly Uint8Array[];
}

/** The usual attributes over a content, sorted. */
export function attributesOver(content: Uint8Array, hash = "sha256"): Uint8Array[] {
  return [
    contentTypeAttribute(DATA),
    signingTime(NOW_MS),
    digestAttribute(createHash(hash).update(content).digest()),
  ];
}

export function attribute(type: string, ...values: readonly Uint8Array[]): Uint8Array {
  return der(TAG.sequence, derOid(type), der(TAG.set, ...values));
}

export const contentTypeAttribute = (type: string): Uint8Array =>
  attribute("1.2.840.113549.1.9.3", derOid(type));
export const digestAttribute = (digest: Uint8Array): Uint8Array =>
  attribute("1.2.840.113549.1.9.4", der(TAG.octetString, digest));
export const signingTime = (ms: number): Uint8Array =>
  attribute("1.2.840.113549.1.9.5", derTime(ms));

/** A SignerInfo over `content`. */
export function signerInfo(content: Uint8Array, options: SignerOptions = {}): Uint8Array {
  const { signer = ALICE, hash = "sha256", attributes = attributesOver(content) } = options;
  const { issuer, serial } = signer.certificate;
  const id = der(TAG.sequence, issuer.der, der(TAG.integer, serial));
  const joined = attributes === null ? undefined : concat(...attributes);
  const signed = options.signed ?? (joined === undefined ? content : der(TAG.set, joined));
  return der(
    TAG.sequence,
    smallInteger(options.version ?? 1),
    options.id ?? id,
    derAlgorithm(options.digest ?? { oid: SHA256 }),
    joined === undefined ? new Uint8Array(0) : der(0xa0, joined),
    derAlgorithm(options.algorithm ?? { oid: ECDSA_SHA256 }),
    der(TAG.octetString, sign(hash, signed, options.key ?? signer.keys.privateKey)),
    options.unsigned === undefined ? new Uint8Array(0) : der(0xa1, ...options.unsigned),
  );
}

/** A ContentInfo with SignedData. */
export function signedMessage(options: MessageOptions = {}): Uint8Array {
  return der(TAG.sequence, derOid(SIGNED_DATA), der(0xa0, signedData(options)));
}

export function signedData(options: MessageOptions = {}): Uint8Array {
  const { content = CONTENT, certificates = [ALICE.certificate.der], crls = [] } = options;
  const { signers = [signerInfo(content ?? CONTENT)], digests = [{ oid: SHA256 }] } = options;
  const octets = content === null ? new Uint8Array(0) : der(0xa0, der(TAG.octetString, content));
  const optional = (tag: number, values: readonly Uint8Array[]): Uint8Array =>
    values.length === 0 ? new Uint8Array(0) : der(tag, ...values);
  return der(
    TAG.sequence,
    smallInteger(options.version ?? 1),
    der(TAG.set, ...digests.map(derAlgorithm)),
    der(TAG.sequence, derOid(options.contentType ?? DATA), octets),
    optional(0xa0, certificates),
    optional(0xa1, crls),
    der(TAG.set, ...signers),
  );
}

export const CONTENT: Uint8Array = Buffer.from("Pay Bob 100 crowns.\n");
