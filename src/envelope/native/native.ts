/**
 * p11seal's own format (docs/format.md). Read top-down: `beginSealing` and `beginOpening` are its two
 * stories, in the order in which things must happen.
 */
import { randomBytes, type KeyObject } from "node:crypto";
import { FLOE_HEADER_BYTES, floeSizes } from "../../body/floe.js";
import { readFloeSegment } from "../../body/floe-reading.js";
import { verifyTrailer, type BodySummary } from "../../body/segment-stream.js";
import { concat, toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import { AuthenticationError, NoMatchError, P11SealError } from "../../errors.js";
import type { Identity, Recipient } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import type { Reader } from "../../stream.js";
import type {
  BegunOpening,
  BegunSealing,
  Envelope,
  Receiver,
  SealedReaders,
  SealOptions,
  Sender,
  SenderInfo,
} from "../envelope.js";
import type { Core } from "./core.js";
import {
  DEFAULT_SEG_LOG2,
  encodeExtensions,
  encodeSignature,
  encodeSignedPart,
  MAGIC,
  MAX_SEG_LOG2,
  MIN_SEG_LOG2,
  readHeader,
  startsAsMessage,
  type ParsedHeader,
} from "./header.js";
import { FORMAT, messageInfo } from "./info.js";
import { headerMac, sealBodyUnder, VerifiedHeader } from "./key-schedule.js";
import { encodeRecips, FILE_KEY_BYTES, type Stanza } from "./recips.js";
import {
  expectedTrailer,
  requireAddressee,
  requireOriginalRecipients,
  signBody,
  signCore,
  signedClaims,
  verifyCore,
} from "./signature.js";
import { stanzasFor, uniqueRecipients, unwrapFileKey, wrapFileKey } from "./wrap.js";

/** Signed or not, to any number of keys; bodies in FLOE segments. */
export const native: Envelope = {
  name: FORMAT,
  startBytes: MAGIC.length,
  detect: startsAsMessage,
  inspect: async (header) => messageInfo(await readHeader(header)),
  beginSealing,
  beginOpening,
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

    const transcript = concat(immutablePart, encodeExtensions([]), recipsBlock);
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
  const header = await headerOf(sealed);

  const sender = verifyCore(header);
  requireOriginalRecipients(sender);
  await receiver.authenticate(sender);

  const { identity, fileKey } = await reachFileKey(header, await receiver.identities());

  const verified = VerifiedHeader.verify(header, fileKey);
  const floeHeader = await readFloeHeader(sealed.body);
  const { immutablePart, core } = header;
  const trailer = core.claims && expectedTrailer(core.claims, { immutablePart, floeHeader });
  return {
    info: messageInfo(header),
    identity,
    ...defined({ sender }),
    body: {
      kind: "segments",
      cipher: verified.openBody(floeHeader),
      readSegment: readFloeSegment,
      ...defined({ trailer }),
    },
  };
}

async function verifySender(sealed: SealedReaders): Promise<SenderInfo | undefined> {
  const header = await headerOf(sealed);
  const sender = verifyCore(header);
  const { immutablePart, core } = header;
  if (core.claims !== undefined) {
    const floeHeader = await readFloeHeader(sealed.body);
    const trailer = expectedTrailer(core.claims, { immutablePart, floeHeader });
    const sizes = floeSizes(2 ** header.segLog2);
    await verifyTrailer({ ...sizes, readSegment: readFloeSegment, trailer }, sealed.body);
  }
  return sender;
}

/** The header; of a detached one, also that nothing follows it. */
async function headerOf({ header, body }: SealedReaders): Promise<ParsedHeader> {
  const parsed = await readHeader(header);
  if (header !== body && (await header.upTo(1)).length > 0) {
    throw new AuthenticationError("ERR_TRAILING", "data follows the header in the key blob", {
      hint: "a key blob holds the header alone; a whole message is opened without --key-blob",
    });
  }
  return parsed;
}

function readFloeHeader(body: Reader): Promise<Uint8Array> {
  return body.exactly(FLOE_HEADER_BYTES, "the message's body");
}

/**
 * The file key, by the first identity that a stanza was made for. If its token can't do what such
 * stanzas need (this OAEP hash, this operation), the next one is tried: the reason lies with the token,
 * not with the stanza. Any other failure ends the opening.
 */
async function reachFileKey(
  header: ParsedHeader,
  identities: readonly Identity[],
): Promise<{ identity: Identity; fileKey: Secret }> {
  const { messageId } = header.core;
  let refusal: unknown;
  for (const { identity, stanzas } of matches(header, identities)) {
    requireAddressee(header, identity.publicKey);
    try {
      const privateKey = await identity.unlock();
      const fileKey = await unwrapFileKey(identity.publicKey, privateKey, messageId, stanzas);
      return { identity, fileKey };
    } catch (error) {
      if (!(error instanceof P11SealError) || !UNFIT.has(error.code)) throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

/** Failures whose reason is the identity, whatever the message says. */
const UNFIT: ReadonlySet<string> = new Set(["ERR_OAEP_HASH", "ERR_MECHANISM"]);

/** The identities that stanzas were made for, at least one, with their stanzas. Unlocks nothing. */
function matches(
  { core, stanzas }: ParsedHeader,
  identities: readonly Identity[],
): { identity: Identity; stanzas: Stanza[] }[] {
  const found = identities
    .map((identity) => ({
      identity,
      stanzas: stanzasFor(identity.publicKey, core.messageId, stanzas),
    }))
    .filter((one) => one.stanzas.length > 0);
  if (found.length > 0) return found;
  const tried = identities.map(({ name }) => name).join(", ") || "none";
  throw new NoMatchError("ERR_NO_MATCH", "no identity matches a recipient of this message", {
    hint: `identities tried: ${tried}; see whom it is for with: p11seal inspect`,
  });
}
