/** Messages that a custodian passed on, and what a dishonest one could make of them. */
import type { PassedOn } from "../../src/envelope/message-info.js";
import type { Custodian, RewrapOptions } from "../../src/envelope/rewrapping.js";
import { concat } from "../../src/bytes.js";
import { openMessage, sealMessage } from "../../src/envelope/messages.js";
import type { OpenOptions } from "../../src/envelope/open-options.js";
import { rewrapMessage } from "../../src/envelope/rewrap-message.js";
import {
  encodeExtensions,
  readHeader,
  type Extension,
  type ParsedHeader,
} from "../../src/envelope/native/header.js";
import { signRecord, type RecordFields } from "../../src/envelope/native/rewrap-record.js";
import { addresseeTag, sha256 } from "../../src/envelope/native/signature.js";
import type { Sender } from "../../src/envelope/seal-options.js";
import type { KnownPublicKey } from "../../src/keys/key.js";
import { Reader } from "../../src/stream.js";
import { SEG_LOG2 } from "./forge.js";
import { identityOf, recipientOf, senderOf } from "./identities.js";

export const RECORD = 0x8001;
export const PADDING = 0x8002;
export const TEXT = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) & 0xff);
export const NOW_MS = Date.UTC(2026, 10, 29, 12);

export const custodianOf = (name: Parameters<typeof senderOf>[0]): Custodian => {
  const { publicKey, key } = senderOf(name);
  return { publicKey, key };
};

/** Sealed to X25519, whose holder re-wraps, and to RSA-2048. */
export async function sealed(sender?: Sender): Promise<Uint8Array> {
  const message = await sealMessage(TEXT, {
    recipients: [recipientOf("x25519"), recipientOf("rsa2048", "sha256")],
    segLog2: SEG_LOG2,
    sender,
  });
  return message.stream().bytes();
}

/** Re-wrapped by the holder of the X25519 key; by default P-256 is added. */
export async function rewrapped(
  whole: Uint8Array,
  options: Partial<RewrapOptions & Pick<OpenOptions, "identities" | "passedOn">> = {},
): Promise<Uint8Array> {
  const { header, oldHeaderBytes } = await rewrapMessage(whole, {
    identities: [identityOf("x25519")],
    ...{ add: [recipientOf("p256")], remove: [], nowMs: NOW_MS, passedOn: allowed() },
    ...options,
  });
  return concat(header, whole.subarray(oldHeaderBytes));
}

/** A policy that takes every custodian, and notes their records. */
export const allowed =
  (records: PassedOn[] = []) =>
  (record: PassedOn): Promise<void> => {
    records.push(record);
    return Promise.resolve();
  };

export async function openedText(
  whole: Uint8Array,
  key: Parameters<typeof identityOf>[0],
  options: Partial<OpenOptions> = {},
): Promise<Uint8Array> {
  const identities = [identityOf(key)];
  const opened = await openMessage(whole, { identities, passedOn: allowed(), ...options });
  return opened.plaintext.bytes();
}

export const parsed = (whole: Uint8Array): Promise<ParsedHeader> => readHeader(new Reader(whole));

/**
 * The message with other extensions. Its MAC is wrong, which shows only once a key was used: what
 * is refused before is refused whoever made it.
 */
export async function withExtensions(
  whole: Uint8Array,
  change: (extensions: readonly Extension[], header: ParsedHeader) => readonly Extension[],
): Promise<Uint8Array> {
  const header = await parsed(whole);
  const { immutablePart, transcript, recipsBlock, mac } = header;
  const ext = encodeExtensions(change(header.extensions, header));
  const body = whole.subarray(transcript.length + mac.length);
  return concat(immutablePart, ext, recipsBlock, mac, body);
}

/** A record for the message as it is, signed by the custodian, with some fields of another kind. */
export async function recordFor(
  whole: Uint8Array,
  custodian: Custodian,
  fields: Partial<RecordFields> = {},
): Promise<Extension> {
  const header = await parsed(whole);
  return signRecord(custodian, header, {
    rewrappedMs: NOW_MS,
    custodianKeyId: custodian.publicKey.fingerprint,
    generation: 1,
    previous: new Uint8Array(32),
    addressees: [tagIn(header, identityOf("p256").publicKey)],
    recipsHash: sha256(header.recipsBlock),
    ...fields,
  });
}

export const tagIn = ({ core }: ParsedHeader, key: KnownPublicKey): Uint8Array =>
  addresseeTag(core.messageId, key);
