/**
 * Whom a message comes from: the sender, and the custodian who passed it on, if one did; and whom
 * it is for (docs/format.md §13, steps 7, 8 and 10). None of this needs a key, so it is done before
 * any is looked for: chosen ciphertexts under a genuine signature never reach a token.
 */
import { equal } from "../../bytes.js";
import { defined } from "../../defined.js";
import { PolicyError } from "../../errors.js";
import type { KnownPublicKey } from "../../keys/key.js";
import type { SenderInfo } from "../message-info.js";
import type { Receiver } from "../receiver.js";
import type { ParsedHeader } from "./header.js";
import { stanzaTag } from "./recips.js";
import { heldRecord, passedOnBy, type HeldRecord } from "./rewrap-record.js";
import { addresseeTag, sameKey, verifyCore } from "./signature.js";

export interface Origin {
  /** Absent: nobody signed the message. */
  readonly sender?: SenderInfo;
  /** The custodian's record; in a message with the sender's own recipients it changes nothing. */
  readonly record?: HeldRecord;
  /** Tags of those whom the message is for, as the sender or the custodian says. */
  readonly addressees?: readonly Uint8Array[];
}

/**
 * Checks the sender's signature, then the custodian's record, then that neither key is one that
 * receives. Nothing in the header may be trusted before.
 *
 * @throws AuthenticationError `ERR_SENDER_SIGNATURE`; PolicyError `ERR_REWRAP_RECORD`,
 *   `ERR_SAME_KEY`
 */
export function originOf(header: ParsedHeader): Origin {
  const sender = verifyCore(header);
  const record = heldRecord(header);
  const isPassedOn = record !== undefined && sender?.recipientsIntact === false;
  const addressees = isPassedOn ? record.addressees : header.core.claims?.addressees;
  return defined({
    sender: isPassedOn ? { ...sender, passedOn: passedOnBy(header, record) } : sender,
    record,
    addressees,
  });
}

/**
 * Refuses a signed message whose wrapped keys are neither the sender's own nor in a custodian's
 * record.
 *
 * @throws PolicyError `ERR_REWRAPPED`
 */
export function requireVouchedRecipients({ sender }: Origin): void {
  if (sender === undefined || sender.recipientsIntact || sender.passedOn !== undefined) return;
  throw new PolicyError("ERR_REWRAPPED", "the recipients are not the ones the sender signed", {
    hint: "somebody re-wrapped the message; ask the sender for the original",
  });
}

/**
 * Refuses a message whose signing key, or whose custodian's, is a recipient's exchange key too:
 * what opens messages would then make signatures, and the other way round. Needs no key.
 *
 * @throws PolicyError `ERR_SAME_KEY`
 */
export function requireSeparateKeys(header: ParsedHeader, { sender, record }: Origin): void {
  const { claims, messageId } = header.core;
  const receiving = {
    addressees: [...(claims?.addressees ?? []), ...(record?.addressees ?? [])],
    stanzaTags: header.stanzas.map(({ tag }) => tag),
  };
  if (sender !== undefined && isReceiving(sender.publicKey, messageId, receiving)) {
    throw sameKey("ask the sender to sign with another key than they receive with");
  }
  if (record === undefined) return;
  if (isReceiving(record.publicKey, messageId, receiving)) {
    throw sameKey("ask the custodian to sign with another key than they receive with");
  }
  if (sender !== undefined && equal(sender.publicKey.fingerprint, record.publicKey.fingerprint)) {
    throw senderIsCustodian();
  }
}

/** The keys that can receive a message, by their tags. */
export interface Receiving {
  readonly addressees: readonly Uint8Array[];
  readonly stanzaTags: readonly Uint8Array[];
}

/** True if a key is one of those that can receive the message. */
export function isReceiving(key: KnownPublicKey, messageId: Uint8Array, all: Receiving): boolean {
  const addressee = addresseeTag(messageId, key);
  const tag = stanzaTag(messageId, key);
  return (
    all.addressees.some((one) => equal(one, addressee)) ||
    all.stanzaTags.some((one) => equal(one, tag))
  );
}

export function senderIsCustodian(): PolicyError {
  const message = "the custodian's key is also the sender's";
  return new PolicyError("ERR_SAME_KEY", message, {
    hint: "a custodian signs re-wrap records with a key of its own, and no messages",
  });
}

/**
 * The receiver's policy: first about the custodian who passed the message on, then about its
 * sender.
 *
 * @throws PolicyError `ERR_REWRAPPED`; whatever the receiver throws
 */
export async function requirePermitted({ sender }: Origin, receiver: Receiver): Promise<void> {
  if (sender?.passedOn !== undefined) {
    if (receiver.passedOn === undefined) {
      throw new PolicyError("ERR_REWRAPPED", "a custodian re-wrapped the message for others", {
        hint: `its record is signed by key ${sender.passedOn.keyId}; allow it if you know that custodian`,
      });
    }
    await receiver.passedOn(sender.passedOn, sender);
  }
  await receiver.authenticate(sender);
}

/**
 * Refuses a signed message that was not addressed to the reader, even if it holds a wrapped key for
 * them (surreptitious forwarding).
 *
 * @throws PolicyError `ERR_NOT_ADDRESSEE`
 */
export function requireAddressee(
  header: ParsedHeader,
  { sender, addressees }: Origin,
  key: KnownPublicKey,
): void {
  if (addressees === undefined) return;
  const tag = addresseeTag(header.core.messageId, key);
  if (addressees.some((addressee) => equal(addressee, tag))) return;
  const who = sender?.passedOn === undefined ? "sender" : "custodian";
  throw new PolicyError("ERR_NOT_ADDRESSEE", `the ${who} did not address this message to you`, {
    hint: "somebody forwarded a message that was meant for someone else",
  });
}
