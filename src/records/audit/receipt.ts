/**
 * Receipts: the receiver's signed statement that a message arrived whole. It names the message, its
 * sender, the custodian who passed it on, if one did, when it was opened, and the SHA-256 of the
 * sealed file. It says nothing of the content.
 *
 * A receipt is one line of JSON with its fields in a fixed order, so that it has one encoding and
 * people can read it. The signature covers a label and that line without its last field.
 */
import { ascii, concat, equal, fromBase64, toBase64 } from "../../bytes.js";
import { AuthenticationError, FormatError, P11SealError, TokenError } from "../../errors.js";
import type { PrivateKey, SigningPublicKey } from "../../keys/key.js";
import { publicKeyFromSpki } from "../../keys/public-key.js";
import { requireCapability } from "../../keys/purpose.js";
import { signatureAlgorithm, verifySignature } from "../../keys/signing.js";
import { defined } from "../../defined.js";
import { count, HEX_16, HEX_32, text, type Check } from "../fields.js";
import { isPassedOnBy, type PassedOnBy } from "./passed-on.js";

/** What a receipt says about the message. */
export interface ReceiptStatement {
  /** 16 bytes, hexadecimal. */
  readonly messageId: string;
  /** SHA-256 of the sender's SPKI, hexadecimal. */
  readonly sender: string;
  /** 16 bytes, hexadecimal. */
  readonly streamId: string;
  readonly serial: number;
  /** When the message was sealed, and when it was opened: milliseconds since 1970-01-01T00:00Z. */
  readonly createdMs: number;
  readonly receivedMs: number;
  /** SHA-256 of the whole sealed message, hexadecimal. */
  readonly sealedSha256: string;
  /** Who had re-wrapped it for the receiver; absent: it came as its sender sealed it. */
  readonly passedOn?: PassedOnBy;
}

export interface Receipt extends ReceiptStatement {
  /** Who signed it. */
  readonly receiver: SigningPublicKey;
  readonly algorithm: string;
}

/** The longest receipt, bytes: room for the largest RSA key and signature. */
const MAX_RECEIPT_BYTES = 16_384;

/**
 * A receipt, one line, signed by the receiver.
 *
 * @throws TokenError `ERR_BAD_SIGNATURE`, and those of the signing key; UnsupportedError
 *   `ERR_SIGNING_KEY`; TypeError for a field of the wrong form
 */
export async function makeReceipt(
  statement: ReceiptStatement,
  receiver: SigningPublicKey,
  key: PrivateKey,
): Promise<Uint8Array> {
  const unsigned = unsignedPart(statement, receiver);
  if (!isStatement(unsigned)) throw new TypeError("a field of the receipt has the wrong form");
  const message = signedBytes(unsigned);
  const signature = await requireCapability(key, "sign")(message);
  if (!verifySignature(receiver, message, signature)) {
    throw new TokenError("ERR_BAD_SIGNATURE", "the signing key made an invalid signature", {
      hint: "the private key does not belong to the public key found with it",
    });
  }
  return ascii(`${JSON.stringify({ ...unsigned, signature: toBase64(signature) })}\n`);
}

/**
 * Checks a receipt. Anyone can sign one: pass the receiver's key as `expected`, or check `receiver`
 * in the result.
 *
 * @throws FormatError `ERR_RECEIPT`: not a receipt, or not as `makeReceipt` writes it;
 *   AuthenticationError `ERR_RECEIPT_SIGNATURE`, `ERR_RECEIPT_RECEIVER`: another key than
 *   `expected`
 */
export function verifyReceipt(bytes: Uint8Array, expected?: SigningPublicKey): Receipt {
  const { unsigned, signature } = parse(bytes);
  const receiver = receiverOf(unsigned);
  if (signatureAlgorithm(receiver).name !== unsigned.algorithm) {
    throw malformed("the algorithm is not that of the receiver's key");
  }
  if (!verifySignature(receiver, signedBytes(unsigned), signature)) {
    throw new AuthenticationError("ERR_RECEIPT_SIGNATURE", "the receipt's signature is invalid", {
      hint: "somebody else made or altered the receipt; it proves nothing",
    });
  }
  if (expected !== undefined && !equal(receiver.spki, expected.spki)) {
    throw new AuthenticationError("ERR_RECEIPT_RECEIVER", "another key signed the receipt", {
      hint: "the receipt is genuine, but not from the receiver that you named",
    });
  }
  return { ...statementIn(unsigned), receiver, algorithm: unsigned.algorithm };
}

// ── Details ──

const TYPE = "p11seal receipt v1";

interface Unsigned extends ReceiptStatement {
  readonly type: typeof TYPE;
  /** SPKI, DER, base64. */
  readonly receiver: string;
  readonly algorithm: string;
}

/** The fields in the order of writing. */
function unsignedPart(statement: ReceiptStatement, receiver: SigningPublicKey): Unsigned {
  return {
    type: TYPE,
    ...statementIn(statement),
    receiver: toBase64(receiver.spki),
    algorithm: signatureAlgorithm(receiver).name,
  };
}

function statementIn(values: ReceiptStatement): ReceiptStatement {
  const { messageId, sender, streamId, serial, createdMs, receivedMs, sealedSha256 } = values;
  const always = { messageId, sender, streamId, serial, createdMs, receivedMs, sealedSha256 };
  return { ...always, ...defined({ passedOn: values.passedOn }) };
}

function signedBytes(unsigned: Unsigned): Uint8Array {
  return concat(ascii("p11seal/v1 receipt\0"), ascii(JSON.stringify(unsigned)));
}

function parse(bytes: Uint8Array): { unsigned: Unsigned; signature: Uint8Array } {
  if (bytes.length > MAX_RECEIPT_BYTES) throw malformed(`more than ${MAX_RECEIPT_BYTES} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw malformed("not JSON");
  }
  if (typeof value !== "object" || value === null) throw malformed("not an object");
  const { signature, ...unsigned } = value as Record<string, unknown>;
  if (typeof signature !== "string" || !isStatement(unsigned)) {
    throw malformed("a field is missing or has the wrong form");
  }
  // Another order, blanks, escapes, unknown or repeated fields: none of them survives our own
  // writing.
  const again = { ...inOrder(unsigned), signature };
  if (!equal(ascii(`${JSON.stringify(again)}\n`), bytes))
    throw malformed("not encoded as p11seal writes it");
  return { unsigned: inOrder(unsigned), signature: base64(signature) };
}

function inOrder(value: Unsigned): Unsigned {
  const present = FIELDS.filter(([name]) => value[name] !== undefined);
  const ordered: unknown = Object.fromEntries(present.map(([name]) => [name, value[name]]));
  return ordered as Unsigned;
}

function isStatement(value: object): value is Unsigned {
  const fields = value as Readonly<Record<string, unknown>>;
  return FIELDS.every(([name, holds]) => holds(fields[name]));
}

function receiverOf({ receiver }: Unsigned): SigningPublicKey {
  try {
    const key = publicKeyFromSpki(base64(receiver));
    if (key.type === "x25519" || key.type === "hybrid") {
      throw malformed("the receiver's key can't sign");
    }
    signatureAlgorithm(key);
    return key;
  } catch (error) {
    if (error instanceof P11SealError) throw malformed("the receiver's key can't sign");
    throw error;
  }
}

function base64(text: string): Uint8Array {
  try {
    return fromBase64(text);
  } catch {
    throw malformed("not canonical base64");
  }
}

function malformed(fact: string): FormatError {
  return new FormatError("ERR_RECEIPT", `not a receipt: ${fact}`);
}

const FIELDS: readonly (readonly [name: keyof Unsigned, holds: Check])[] = [
  ["type", (value) => value === TYPE],
  ["messageId", HEX_16],
  ["sender", HEX_32],
  ["streamId", HEX_16],
  ["serial", count],
  ["createdMs", count],
  ["receivedMs", count],
  ["sealedSha256", HEX_32],
  ["passedOn", (value) => value === undefined || isPassedOnBy(value)],
  ["receiver", text(/^[A-Za-z0-9+/]+={0,2}$/)],
  ["algorithm", text(/^[A-Za-z0-9 -]{1,32}$/)],
];
