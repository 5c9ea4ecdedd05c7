/**
 * Receipts: the receiver's signed statement that a message arrived whole. It names the message, its
 * sender, the custodian who passed it on, if one did, when it was opened, and the SHA-256 of the
 * sealed file. It says nothing of the content.
 *
 * A receipt is a signed line (`../signed-line.ts`).
 */
import { equal } from "../../bytes.js";
import { AuthenticationError, FormatError } from "../../errors.js";
import type { PrivateKey, SigningPublicKey } from "../../keys/key.js";
import { count, HEX_16, HEX_32 } from "../fields.js";
import { readSignedLine, signedLine, type LineForm } from "../signed-line.js";
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

/** A receipt, one line, signed by the receiver. @throws as `signedLine` */
export function makeReceipt(
  statement: ReceiptStatement,
  receiver: SigningPublicKey,
  key: PrivateKey,
): Promise<Uint8Array> {
  return signedLine(FORM, statement, receiver, key);
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
  const { statement, signer: receiver, algorithm } = readSignedLine(FORM, bytes);
  if (expected !== undefined && !equal(receiver.spki, expected.spki)) {
    throw new AuthenticationError("ERR_RECEIPT_RECEIVER", "another key signed the receipt", {
      hint: "the receipt is genuine, but not from the receiver that you named",
    });
  }
  return { ...statement, receiver, algorithm };
}

// ── Details ──

const FORM: LineForm<ReceiptStatement> = {
  type: "p11seal receipt v1",
  label: "p11seal/v1 receipt",
  fields: [
    ["messageId", HEX_16],
    ["sender", HEX_32],
    ["streamId", HEX_16],
    ["serial", count],
    ["createdMs", count],
    ["receivedMs", count],
    ["sealedSha256", HEX_32],
    ["passedOn", (value) => value === undefined || isPassedOnBy(value)],
  ],
  signer: "receiver",
  maxBytes: 16_384,
  malformed: (fact) => new FormatError("ERR_RECEIPT", `not a receipt: ${fact}`),
  forged: () =>
    new AuthenticationError("ERR_RECEIPT_SIGNATURE", "the receipt's signature is invalid", {
      hint: "somebody else made or altered the receipt; it proves nothing",
    }),
};
