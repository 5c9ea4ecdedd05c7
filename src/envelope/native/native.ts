/**
 * p11seal's own format (docs/format.md). Read top-down: `beginSealing` and `beginOpening` are its
 * two stories, in the order in which things must happen.
 */
import { randomBytes, type KeyObject } from "node:crypto";
import { FLOE_HEADER_BYTES, floeSizes } from "../../body/floe.js";
import { readFloeSegment } from "../../body/floe-reading.js";
import { verifyTrailer, type BodySummary } from "../../body/segment-stream.js";
import { concat, toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import type { KnownPublicKey, NamedKey, Recipient } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import type { Reader } from "../../stream.js";
import type { OpenedByKey } from "../../wrap/opener.js";
import { headerOf, wholeHeader } from "../detached-header.js";
import type {
  BegunOpening,
  BegunSealing,
  Envelope,
  HeldBodyKey,
  ProvenHeader,
  SealedReaders,
} from "../envelope.js";
import type { SenderInfo } from "../message-info.js";
import type { Receiver } from "../receiver.js";
import type { SealOptions, Sender } from "../seal-options.js";
import type { Core } from "./core.js";
import {
  DEFAULT_SEG_LOG2,
  encodeExtensions,
  encodeSignature,
  encodeSignedPart,
  FORMAT,
  MAC_BYTES,
  MAGIC,
  MAX_EXT_BYTES,
  MAX_SEG_LOG2,
  MIN_SEG_LOG2,
  readHeader,
  startsAsMessage,
  type ParsedHeader,
} from "./header.js";
import { messageInfo } from "./info.js";
import { headerMac, requireMac, sealBodyUnder, VerifiedHeader } from "./key-schedule.js";
import { encodeRecips, FILE_KEY_BYTES } from "./recips.js";
import {
  originOf,
  requireAddressee,
  requirePermitted,
  requireSeparateKeys,
  requireVouchedRecipients,
  type Origin,
} from "./origin.js";
import { padded } from "./padding.js";
import { expectedTrailer, signBody, signCore, signedClaims } from "./signature.js";
import { uniqueRecipients, wrapFileKey, wrappedKeys } from "./wrap.js";

/** Signed or not, to any number of keys; bodies in FLOE segments. */
export const native: Envelope = {
  name: FORMAT,
  armorLabel: "P11SEAL MESSAGE",
  startBytes: MAGIC.length,
  detect: startsAsMessage,
  inspect: async (header) => messageInfo(await readHeader(header)),
  beginSealing,
  beginOpening,
  rewrap: async (header, receiver, options) =>
    (await import("./rewrap.js")).rewrap(header, receiver, options),
  proveHeader,
  bodyKey,
  coreToSign: async (bytes) => (await import("./core-to-sign.js")).coreToSign(bytes),
  verifySender,
};

async function beginSealing(options: SealOptions): Promise<BegunSealing> {
  const segLog2 = options.segLog2 ?? DEFAULT_SEG_LOG2;
  if (!Number.isInteger(segLog2) || segLog2 < MIN_SEG_LOG2 || segLog2 > MAX_SEG_LOG2) {
    throw new RangeError(`segLog2 is ${MIN_SEG_LOG2} to ${MAX_SEG_LOG2}, got ${segLog2}`);
  }
  const recipients = uniqueRecipients(options.recipients);
  const messageId = new Uint8Array(randomBytes(16));
  const fileKey = new Secret(new Uint8Array(randomBytes(FILE_KEY_BYTES)));
  try {
    const stanzas = await wrapFileKey(fileKey, messageId, recipients, options.oaep);
    const recipsBlock = encodeRecips(stanzas);
    const { immutablePart, oneTimeKey } = await immutablePartOf(
      segLog2,
      messageId,
      recipients,
      recipsBlock,
      options.sender,
    );

    const extBlock = extBlockOf(options, immutablePart.length + recipsBlock.length);
    const transcript = concat(immutablePart, extBlock, recipsBlock);
    const header = concat(transcript, headerMac(fileKey, transcript));
    const floe = sealBodyUnder(fileKey, immutablePart, segLog2);
    const body = { kind: "segments", start: floe.header, cipher: floe.segments } as const;
    if (oneTimeKey === undefined) return { messageId: toHex(messageId), header, body };

    const before = { immutablePart, floeHeader: floe.header };
    const makeTrailer = (summary: BodySummary): Uint8Array => signBody(oneTimeKey, before, summary);
    return { messageId: toHex(messageId), header, body: { ...body, makeTrailer } };
  } finally {
    fileKey.wipe();
  }
}

/** EXT: empty, or with padding alone. `restBytes` is PRELUDE, CORE, SIG and RECIPS. */
function extBlockOf({ padHeader }: SealOptions, restBytes: number): Uint8Array {
  const empty = encodeExtensions([]);
  if (padHeader !== true) return empty;
  const headerBytes = restBytes + empty.length + MAC_BYTES;
  return encodeExtensions(padded([], { headerBytes, room: MAX_EXT_BYTES }));
}

/** PRELUDE ‖ CORE ‖ SIG: with the sender's claims and signature, if there is a sender. */
async function immutablePartOf(
  segLog2: number,
  messageId: Uint8Array,
  recipients: readonly Recipient[],
  recipsBlock: Uint8Array,
  sender: Sender | undefined,
): Promise<{ immutablePart: Uint8Array; oneTimeKey?: KeyObject }> {
  if (sender === undefined) return { immutablePart: encodeSignedPart(segLog2, { messageId }) };
  const keys = recipients.map(({ publicKey }) => publicKey);
  const { claims, oneTimeKey } = signedClaims(sender, messageId, keys, recipsBlock);
  const core: Core = { messageId, claims };
  const signedPart = encodeSignedPart(segLog2, core);
  const signature = await signCore(sender, signedPart);
  return { immutablePart: concat(signedPart, encodeSignature(signature)), oneTimeKey };
}

async function beginOpening(sealed: SealedReaders, receiver: Receiver): Promise<BegunOpening> {
  const header = await headerOf(sealed, readHeader);
  const { origin, identity, verified } = await verifiedHeader(header, receiver);

  const floeHeader = await readFloeHeader(sealed.body);
  const { immutablePart, core } = header;
  const trailer = core.claims && expectedTrailer(core.claims, { immutablePart, floeHeader });
  return {
    info: messageInfo(header),
    identity,
    ...defined({ sender: origin.sender }),
    body: {
      kind: "segments",
      cipher: verified.openBody(floeHeader),
      readSegment: readFloeSegment,
      ...defined({ trailer }),
    },
  };
}

async function proveHeader(reader: Reader, receiver: Receiver): Promise<ProvenHeader> {
  const header = await readHeader(reader);
  const origin = await permittedOrigin(header, receiver);
  const { identity, contentKey } = await openHeader(header, origin, receiver);
  try {
    requireMac(header, contentKey);
    return { info: messageInfo(header), identity };
  } finally {
    contentKey.wipe();
  }
}

async function bodyKey(bytes: Uint8Array, receiver: Receiver): Promise<HeldBodyKey> {
  const header = await wholeHeader(bytes, readHeader);
  const origin = await permittedOrigin(header, receiver);
  const { identity, contentKey } = await openHeader(header, origin, receiver);
  const key = VerifiedHeader.verify(header, contentKey).bodyKey();
  return { info: messageInfo(header), identity, key };
}

/** A header that is authentic: as somebody else says who has a key for it, or by a key here. */
async function verifiedHeader(header: ParsedHeader, receiver: Receiver): Promise<Verified> {
  const origin = await permittedOrigin(header, receiver);
  const elsewhere = await receiver.bodyKey?.({
    format: FORMAT,
    bytes: concat(header.transcript, header.mac),
    info: messageInfo(header),
  });
  if (elsewhere !== undefined) {
    const { openedBy, key } = elsewhere;
    requireAddressee(header, origin, openedBy.publicKey);
    return { origin, identity: openedBy, verified: VerifiedHeader.vouchedFor(header, key) };
  }
  const { identity, contentKey } = await openHeader(header, origin, receiver);
  return { origin, identity, verified: VerifiedHeader.verify(header, contentKey) };
}

interface Verified {
  readonly origin: Origin;
  readonly identity: NamedKey<KnownPublicKey>;
  readonly verified: VerifiedHeader;
}

/** Who made the header, under signatures that hold, if the receiver permits them. */
async function permittedOrigin(header: ParsedHeader, receiver: Receiver): Promise<Origin> {
  const origin = originOf(header);
  requireVouchedRecipients(origin);
  requireSeparateKeys(header, origin);
  await requirePermitted(origin, receiver);
  return origin;
}

/** The file key, not yet known to be that of this header. */
async function openHeader(
  header: ParsedHeader,
  origin: Origin,
  receiver: Receiver,
): Promise<OpenedByKey> {
  const identities = await receiver.identities(messageInfo(header));
  // Loaded here: where an agent opens the header, there is no key to be asked.
  const { openByKey } = await import("../../wrap/opener.js");
  return openByKey(
    identities,
    wrappedKeys(header.core.messageId, header.stanzas, (key) => {
      requireAddressee(header, origin, key);
    }),
  );
}

async function verifySender(sealed: SealedReaders): Promise<SenderInfo | undefined> {
  const header = await headerOf(sealed, readHeader);
  const origin = originOf(header);
  requireSeparateKeys(header, origin);
  const { immutablePart, core } = header;
  if (core.claims !== undefined) {
    const floeHeader = await readFloeHeader(sealed.body);
    const trailer = expectedTrailer(core.claims, { immutablePart, floeHeader });
    const sizes = floeSizes(2 ** header.segLog2);
    await verifyTrailer({ ...sizes, readSegment: readFloeSegment, trailer }, sealed.body);
  }
  return origin.sender;
}

function readFloeHeader(body: Reader): Promise<Uint8Array> {
  return body.exactly(FLOE_HEADER_BYTES, "the message's body");
}
