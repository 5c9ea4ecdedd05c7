/**
 * RecipientInfo (RFC 5652 §6.2), strictly parsed to plain values: who may open a message, and how
 * the content key is wrapped for each. What is of a kind that is not known here is kept as
 * `unknown`, and is for somebody else; what is known and malformed refuses the message.
 */
import { readAlgorithm, type AlgorithmIdentifier } from "../../asn1/algorithm-identifier.js";
import { DerReader, TAG } from "../../asn1/der.js";
import { oidText } from "../../asn1/oid.js";
import { defined } from "../../defined.js";
import { FormatError } from "../../errors.js";
import type { OaepParameters } from "../../keys/key.js";
import { EC_PUBLIC_KEY_OID, RSA_OIDS, X25519_OID } from "./cms-oids.js";
import { parseOaepParameters } from "./oaep-parameters.js";

/** How a message names a recipient's certificate, and by it the key. */
export type RecipientId =
  | {
      readonly type: "issuerAndSerial";
      /** Name, DER. */
      readonly issuer: Uint8Array;
      /** The INTEGER's content. */
      readonly serial: Uint8Array;
    }
  | { readonly type: "subjectKeyId"; readonly id: Uint8Array };

/** KeyTransRecipientInfo (§6.2.1). */
export interface KeyTransport {
  readonly type: "rsa-oaep" | "rsa-pkcs1";
  readonly rid: RecipientId;
  /** Of OAEP. */
  readonly parameters?: OaepParameters;
  readonly encryptedKey: Uint8Array;
}

/** One recipient of a KeyAgreeRecipientInfo (§6.2.2, RFC 5753 §3). */
export interface KeyAgreement {
  readonly type: "agreement";
  readonly rid: RecipientId;
  /** The originator's ephemeral public key: a point, or a u-coordinate. */
  readonly originator: Uint8Array;
  /** Which scheme agrees on a key and derives another. */
  readonly scheme: string;
  /** The key wrap algorithm, whole, DER. */
  readonly wrap: AlgorithmIdentifier;
  /** User keying material. */
  readonly ukm?: Uint8Array;
  readonly encryptedKey: Uint8Array;
}

/** KEMRecipientInfo (RFC 9629 §3). */
export interface KeyEncapsulation {
  readonly type: "kem";
  readonly rid: RecipientId;
  /** The KEM, dotted. */
  readonly kem: string;
  readonly ciphertext: Uint8Array;
  readonly kdf: AlgorithmIdentifier;
  /** Of the key encryption key. */
  readonly kekBytes: number;
  readonly ukm?: Uint8Array;
  readonly wrap: AlgorithmIdentifier;
  readonly encryptedKey: Uint8Array;
}

export interface UnknownRecipient {
  readonly type: "unknown";
  /** What it is, in a few words. */
  readonly what: string;
}

export type RecipientInfoValue = KeyTransport | KeyAgreement | KeyEncapsulation | UnknownRecipient;

/** More recipients than this are refused. */
export const MAX_RECIPIENTS = 1024;

const WHAT = "a recipient of the CMS message";

/** KEMRecipientInfo's (RFC 9629 §3). */
const KEM_RECIPIENT_OID = "1.2.840.113549.1.9.16.13.3";

/**
 * @param set - the SET OF RecipientInfo, whole, DER
 * @throws as `recipientEntries`
 */
export function parseRecipientInfos(set: Uint8Array): RecipientInfoValue[] {
  return recipientEntries(set).flatMap(({ recipients }) => recipients);
}

/** A RecipientInfo, whole, and whom it is for: one or, by key agreement, several. */
export interface RecipientEntry {
  readonly der: Uint8Array;
  readonly recipients: readonly RecipientInfoValue[];
}

/**
 * @param set - the SET OF RecipientInfo, whole, DER
 * @throws FormatError `ERR_CMS`, `ERR_DER`, `ERR_TRUNCATED`, `ERR_TRAILING`
 */
export function recipientEntries(set: Uint8Array): RecipientEntry[] {
  const infos = new DerReader(set, "the CMS message's recipients").constructed(TAG.set);
  const entries: RecipientEntry[] = [];
  let count = 0;
  while (infos.peek() !== undefined) {
    const der = infos.any();
    const recipients = parseRecipientInfo(der);
    entries.push({ der, recipients });
    count += recipients.length;
    if (count > MAX_RECIPIENTS) {
      throw new FormatError(
        "ERR_CMS",
        `the CMS message has more than ${MAX_RECIPIENTS} recipients`,
      );
    }
  }
  if (count === 0) throw new FormatError("ERR_CMS", "the CMS message has no recipients");
  return entries;
}

function parseRecipientInfo(der: Uint8Array): RecipientInfoValue[] {
  const [tag = 0] = der;
  const info = new DerReader(der, WHAT).constructed(tag);
  switch (tag) {
    case TAG.sequence:
      return [keyTransport(info)];
    case 0xa1:
      return keyAgreement(info);
    case 0xa2:
      return [{ type: "unknown", what: "a key encryption key known to both sides" }];
    case 0xa3:
      return [{ type: "unknown", what: "a password" }];
    case 0xa4:
      return [otherRecipient(info)];
    default:
      throw new FormatError("ERR_CMS", `${WHAT} is of no known form`);
  }
}

// ── KeyTransRecipientInfo ──

function keyTransport(info: DerReader): KeyTransport | UnknownRecipient {
  const version = info.count();
  const rid = recipientId(info);
  // §6.2.1: the version says which of the two names the recipient has.
  if (version !== (rid.type === "issuerAndSerial" ? 0 : 2)) throw wrongVersion(version);
  const algorithm = readAlgorithm(info);
  const encryptedKey = info.read(TAG.octetString);
  info.end();
  switch (algorithm.oid) {
    case RSA_OIDS.oaep: {
      const parameters = parseOaepParameters(algorithm.parameters);
      if (parameters === undefined) return { type: "unknown", what: "RSA-OAEP of an unknown kind" };
      return { type: "rsa-oaep", rid, parameters, encryptedKey };
    }
    case RSA_OIDS.pkcs1:
      return { type: "rsa-pkcs1", rid, encryptedKey };
    default:
      return { type: "unknown", what: `key transport ${algorithm.oid}` };
  }
}

// ── KeyAgreeRecipientInfo ──

function keyAgreement(info: DerReader): (KeyAgreement | UnknownRecipient)[] {
  const version = info.count();
  if (version !== 3) throw wrongVersion(version);
  const originator = originatorKey(info.constructed(0xa0));
  const ukm = optionalOctets(info, 0xa1);
  const algorithm = readAlgorithm(info);
  const keys = info.sequence();
  info.end();
  const recipients: (KeyAgreement | UnknownRecipient)[] = [];
  while (keys.peek() !== undefined && recipients.length <= MAX_RECIPIENTS) {
    const one = keys.sequence();
    const rid = agreementRecipientId(one);
    const encryptedKey = one.read(TAG.octetString);
    one.end();
    if (originator === undefined) {
      recipients.push({ type: "unknown", what: "a key agreed on with a static key" });
      continue;
    }
    const wrap = wrapIn(algorithm);
    recipients.push({
      ...{ type: "agreement", rid, originator, scheme: algorithm.oid, wrap, encryptedKey },
      ...defined({ ukm }),
    });
  }
  return recipients;
}

/** The originator's key where it is sent along; undefined for one that is only named. */
function originatorKey(choice: DerReader): Uint8Array | undefined {
  const key = choice.optional(0xa1);
  if (key === undefined) choice.skip();
  choice.end();
  if (key === undefined) return undefined;
  // RFC 5753 §3.1.1: the recipient's key decides on the curve, whatever parameters stand here.
  const { oid } = readAlgorithm(key);
  const point = key.bitString();
  key.end();
  return oid === EC_PUBLIC_KEY_OID || oid === X25519_OID ? point : undefined;
}

function wrapIn({ oid, parameters }: AlgorithmIdentifier): AlgorithmIdentifier {
  if (parameters?.[0] !== TAG.sequence) {
    throw new FormatError("ERR_CMS", `${WHAT} has key agreement ${oid} without a key wrap`);
  }
  return readAlgorithm(new DerReader(parameters, WHAT));
}

/** KeyAgreeRecipientIdentifier: as others have, but the key identifier lies in a SEQUENCE. */
function agreementRecipientId(reader: DerReader): RecipientId {
  if (reader.peek() !== 0xa0) return recipientId(reader);
  const named = reader.constructed(0xa0);
  const id = named.read(TAG.octetString);
  if (named.peek() === TAG.generalizedTime) named.skip();
  if (named.peek() === TAG.sequence) named.skip();
  named.end();
  return { type: "subjectKeyId", id };
}

// ── OtherRecipientInfo ──

function otherRecipient(info: DerReader): KeyEncapsulation | UnknownRecipient {
  const type = oidText(info.read(TAG.oid));
  if (type !== KEM_RECIPIENT_OID) {
    info.skip();
    info.end();
    return { type: "unknown", what: `recipient type ${type}` };
  }
  const kemri = info.sequence();
  info.end();
  const version = kemri.count();
  if (version !== 0) throw wrongVersion(version);
  const rid = recipientId(kemri);
  const { oid: kem } = readAlgorithm(kemri);
  const ciphertext = kemri.read(TAG.octetString);
  const kdf = readAlgorithm(kemri);
  const kekBytes = kemri.count();
  const ukm = optionalOctets(kemri, 0xa0);
  const wrap = readAlgorithm(kemri);
  const encryptedKey = kemri.read(TAG.octetString);
  kemri.end();
  return {
    ...{ type: "kem", rid, kem, ciphertext, kdf, kekBytes, wrap, encryptedKey },
    ...defined({ ukm }),
  };
}

// ── Parts ──

function recipientId(reader: DerReader): RecipientId {
  if (reader.peek() === 0x80) return { type: "subjectKeyId", id: reader.read(0x80) };
  const named = reader.sequence();
  const issuer = named.next(TAG.sequence);
  const serial = named.read(TAG.integer);
  named.end();
  return { type: "issuerAndSerial", issuer, serial };
}

/** An OCTET STRING under `[n] EXPLICIT`, if it comes next. */
function optionalOctets(reader: DerReader, tag: number): Uint8Array | undefined {
  const field = reader.optional(tag);
  const octets = field?.read(TAG.octetString);
  field?.end();
  return octets;
}

function wrongVersion(version: number): FormatError {
  return new FormatError("ERR_CMS", `${WHAT} has version ${version}, which does not fit its form`);
}
