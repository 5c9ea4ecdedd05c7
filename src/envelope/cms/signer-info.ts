/**
 * SignerInfo (RFC 5652 §5.3): one signature of a SignedData, read strictly. Nothing is judged here
 * but its form; `check-signer.ts` says whether it holds.
 */
import { readAlgorithm, type AlgorithmIdentifier } from "../../asn1/algorithm-identifier.js";
import { der, DerReader, TAG } from "../../asn1/der.js";
import { FormatError, UnsupportedError } from "../../errors.js";
import { readName, type Name } from "../../x509/name.js";
import { readAttributes, requireNotUnsigned, type Attributes } from "./attributes.js";

/** How a signature names its certificate. */
export type SignerId =
  { readonly issuer: Name; readonly serial: Uint8Array } | { readonly subjectKeyId: Uint8Array };

export interface SignerInfo {
  readonly id: SignerId;
  readonly digestAlgorithm: AlgorithmIdentifier;
  /** Undefined: the signature is over the content itself, with nothing that says so. */
  readonly signed:
    | {
        readonly attributes: Attributes;
        /** DER with the tag of a SET, which is what the signature is over (§5.4). */
        readonly der: Uint8Array;
      }
    | undefined;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
}

/**
 * @param sent - as it stands in the message, to see whether the signed attributes are DER there
 * @param encoded - the same, made DER
 * @throws FormatError; UnsupportedError `ERR_VERSION`
 */
export function readSignerInfo(sent: Uint8Array, encoded: Uint8Array): SignerInfo {
  const file = new DerReader(encoded, "signer");
  const fields = file.sequence();
  file.end();
  const version = fields.unsigned();
  const id = readSignerId(fields);
  const expected = "issuer" in id ? 1 : 3;
  if (version.length !== 1 || version[0] !== expected) {
    throw new UnsupportedError("ERR_VERSION", `a signer is not of version ${expected}`);
  }
  const digestAlgorithm = readAlgorithm(fields);
  const signed = fields.peek() === SIGNED_ATTRIBUTES ? readSigned(fields, sent) : undefined;
  const signatureAlgorithm = readAlgorithm(fields);
  const signature = fields.read(TAG.octetString);
  if (fields.peek() === UNSIGNED_ATTRIBUTES) requireNotUnsigned(fields.read(UNSIGNED_ATTRIBUTES));
  fields.end();
  return { id, digestAlgorithm, signed, signatureAlgorithm, signature };
}

function readSignerId(fields: DerReader): SignerId {
  if (fields.peek() === SUBJECT_KEY_ID) return { subjectKeyId: fields.read(SUBJECT_KEY_ID) };
  const issuerAndSerial = fields.sequence();
  const issuer = readName(issuerAndSerial);
  const serial = issuerAndSerial.read(TAG.integer);
  issuerAndSerial.end();
  return { issuer, serial };
}

function readSigned(fields: DerReader, sent: Uint8Array): NonNullable<SignerInfo["signed"]> {
  const whole = fields.any();
  // Some software signs what it sent, and other the DER of that: only of DER they are the same.
  if (Buffer.from(sent).indexOf(Buffer.from(whole)) === -1) {
    throw new FormatError("ERR_ATTRIBUTES", "the signed attributes are not in DER", {
      hint: "what a signature covers must have one meaning; ask the sender to sign it again",
    });
  }
  const content = new DerReader(whole, "signed attributes").read(SIGNED_ATTRIBUTES);
  if (content.length === 0) {
    throw new FormatError("ERR_ATTRIBUTES", "the signed attributes are empty");
  }
  return {
    attributes: readAttributes(content, "signed attributes"),
    der: der(TAG.set, content),
  };
}

const SUBJECT_KEY_ID = 0x80;
const SIGNED_ATTRIBUTES = 0xa0;
const UNSIGNED_ATTRIBUTES = 0xa1;
