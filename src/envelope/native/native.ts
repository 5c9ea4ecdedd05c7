/**
 * Seal and open in p11seal's own format. Read top-down: `sealMessage` and `openMessage` are the
 * format's two stories, in the order in which things must happen.
 */
import { randomBytes, type KeyObject } from "node:crypto";
import { concat, toHex } from "../../bytes.js";
import { FLOE_HEADER_BYTES, type SegmentCipher } from "../../body/floe.js";
import { oneByOne } from "../../body/segments.js";
import { AuthenticationError, NoMatchError, P11SealError } from "../../errors.js";
import type { Identity, OaepHash, Recipient } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import { ByteStream, Reader, type ByteSource } from "../../stream.js";
import {
  checkTrailer,
  openBody,
  partsOf,
  sealBody,
  type TrailerCheck,
  type TrailerSigning,
} from "./body.js";
import type { Core } from "./core.js";
import {
  DEFAULT_SEG_LOG2,
  encodeExtensions,
  encodeSignature,
  encodeSignedPart,
  MAX_SEG_LOG2,
  MIN_SEG_LOG2,
  readHeader,
  type ParsedHeader,
} from "./header.js";
import { messageInfo, type MessageInfo } from "./info.js";
import { headerMac, sealBodyUnder, VerifiedHeader } from "./key-schedule.js";
import { encodeRecips, FILE_KEY_BYTES, type Stanza } from "./recips.js";
import {
  requireAddressee,
  requireOriginalRecipients,
  signCore,
  signedClaims,
  verifyCore,
  type Sender,
  type SenderInfo,
} from "./signature.js";
import { stanzasFor, uniqueRecipients, unwrapFileKey, wrapFileKey } from "./wrap.js";

export interface SealOptions {
  /** Whom to seal to: 1 to 1,024 keys. */
  readonly recipients: readonly Recipient[];
  /** OAEP hash for RSA recipients; by default what is recorded with each key, or two stanzas. */
  readonly oaep?: OaepHash;
  /** A segment has 2^segLog2 bytes; 12 to 22, by default 18. */
  readonly segLog2?: number;
  /** Who signs; absent: the message says nothing of its sender. */
  readonly sender?: Sender;
}

/** A sealed message. Its header is ready; its body is sealed as it is read, once. */
export interface Sealed {
  /** 16 bytes, hexadecimal. */
  readonly messageId: string;
  /** PRELUDE to MAC: the article's key blob. */
  readonly header: Uint8Array;
  /** The rest: the article's encrypted message. */
  readonly body: ByteStream;
  /** Header and body, one after the other. */
  stream(): ByteStream;
}

/**
 * Seals `plaintext` under a fresh file key to every recipient.
 *
 * @throws UsageError `ERR_NO_RECIPIENTS`; PolicyError `ERR_TOO_MANY_RECIPIENTS`, `ERR_WEAK_KEY`,
 * `ERR_SAME_KEY`; UnsupportedError `ERR_KEY_SIZE`; TokenError from a signing key on a token
 */
export async function sealMessage(plaintext: ByteSource, options: SealOptions): Promise<Sealed> {
  const reader = new Reader(plaintext);
  try {
    return await sealFrom(reader, options);
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function sealFrom(reader: Reader, options: SealOptions): Promise<Sealed> {
  const { messageId, header, floeHeader, segments, signing } = await beginSealing(options);
  const letGo = () => reader.close();
  const sealed = sealBody(floeHeader, oneByOne(segments), reader, signing);
  const body = new ByteStream(partsOf(sealed), letGo);
  return { messageId, header, body, stream: () => new ByteStream(inOrder(header, body), letGo) };
}

/** A message whose header is made, and what its body is to be sealed with. */
export interface BegunSealing {
  readonly messageId: string;
  readonly header: Uint8Array;
  readonly floeHeader: Uint8Array;
  readonly segments: SegmentCipher;
  readonly signing: TrailerSigning | undefined;
}

/** Everything of `sealMessage` that comes before the first byte of plaintext. Throws alike. */
export async function beginSealing(options: SealOptions): Promise<BegunSealing> {
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
    return {
      messageId: toHex(messageId),
      header,
      floeHeader: floe.header,
      segments: floe.segments,
      signing: oneTimeKey === undefined ? undefined : { oneTimeKey, immutablePart },
    };
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

export interface OpenOptions {
  /**
   * What can reach the private keys; the first that matches a recipient, and can do what opening
   * needs, is used. A function is called only after `authenticate`: looking for keys may touch a token.
   */
  readonly identities: readonly Identity[] | (() => Promise<readonly Identity[]>);
  /** The header, where it was detached from the body. */
  readonly header?: ByteSource;
  /**
   * The receiver's policy about senders. Called once the sender's signature was checked (or with
   * `undefined` for an unsigned message) and before any key is looked for; throws to refuse.
   */
  readonly authenticate?: (sender: SenderInfo | undefined) => Promise<void>;
}

/** A message whose header is authentic. */
export interface Opened {
  readonly info: MessageInfo;
  /** Which of the identities opened it. */
  readonly identity: Identity;
  /** Who signed it; whether to trust that key is the caller's policy. */
  readonly sender?: SenderInfo;
  /**
   * The plaintext, a segment at a time, each after its tag was checked. Only its end tells that the
   * message was whole, and that its sender signed this body: a consumer that can't wait takes back
   * what it has when the stream throws.
   */
  readonly plaintext: ByteStream;
}

/**
 * Opens a message with the first identity that matches one of its recipients.
 *
 * @throws FormatError `ERR_NOT_A_MESSAGE`; UnsupportedError; AuthenticationError; PolicyError
 * `ERR_REWRAPPED`, `ERR_NOT_ADDRESSEE`; NoMatchError `ERR_NO_MATCH`, before any identity was
 * unlocked; TokenError from unlocking; whatever `authenticate` throws
 */
export async function openMessage(sealed: ByteSource, options: OpenOptions): Promise<Opened> {
  const reader = new Reader(sealed);
  try {
    const { floeHeader, segments, check, ...opened } = await beginOpening(reader, options);
    const plaintext = openBody(floeHeader, oneByOne(segments), reader, check);
    return { ...opened, plaintext: new ByteStream(partsOf(plaintext), () => reader.close()) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** A message whose header is authentic, and what its body is to be opened with. */
export interface BegunOpening extends Omit<Opened, "plaintext"> {
  readonly floeHeader: Uint8Array;
  readonly segments: SegmentCipher;
  readonly check: TrailerCheck | undefined;
}

/**
 * Everything of `openMessage` that comes before the first segment, which is what `reader` has next
 * when this is done. Throws alike.
 */
export async function beginOpening(reader: Reader, options: OpenOptions): Promise<BegunOpening> {
  const header =
    options.header === undefined ? await readHeader(reader) : await readDetached(options.header);

  const sender = verifyCore(header);
  requireOriginalRecipients(sender);
  await options.authenticate?.(sender);

  const { identity, fileKey } = await reachFileKey(header, await listed(options.identities));

  const verified = VerifiedHeader.verify(header, fileKey);
  const floeHeader = await reader.exactly(FLOE_HEADER_BYTES, "the message's body");
  return {
    info: messageInfo(header),
    identity,
    ...(sender === undefined ? {} : { sender }),
    floeHeader,
    segments: verified.openBody(floeHeader),
    check: trailerCheck(header),
  };
}

/**
 * Checks everything about a message's sender that can be checked without any key: the signature at
 * its start, and the one at its end over every byte between.
 *
 * @returns `undefined` for an unsigned message, of which nothing was checked
 * @throws AuthenticationError
 */
export async function verifySender(
  sealed: ByteSource,
  options: Pick<OpenOptions, "header"> = {},
): Promise<SenderInfo | undefined> {
  const reader = new Reader(sealed);
  try {
    const header =
      options.header === undefined ? await readHeader(reader) : await readDetached(options.header);
    const sender = verifyCore(header);
    const check = trailerCheck(header);
    if (check !== undefined) await checkTrailer(reader, 2 ** header.segLog2, check);
    return sender;
  } finally {
    await reader.close();
  }
}

/**
 * The file key through the first identity that a stanza was made for. One whose holder can't do what
 * such stanzas need (another OAEP hash, no such operation) gives way to the next: that says nothing of
 * this stanza. Any other failure ends the opening.
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

/** What is wrong with an identity, whatever the message. */
const UNFIT: ReadonlySet<string> = new Set(["ERR_OAEP_HASH", "ERR_MECHANISM"]);

/** Identities that a stanza was made for, with its stanzas; at least one. Nothing is unlocked here. */
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

async function listed(identities: OpenOptions["identities"]): Promise<readonly Identity[]> {
  return typeof identities === "function" ? identities() : identities;
}

function trailerCheck({ core, immutablePart }: ParsedHeader): TrailerCheck | undefined {
  return core.claims === undefined
    ? undefined
    : { oneTimeKey: core.claims.oneTimeKey, immutablePart };
}

/** The header of a message whose header and body are two files. */
async function readDetached(header: ByteSource): Promise<ParsedHeader> {
  const reader = new Reader(header);
  try {
    const parsed = await readHeader(reader);
    if ((await reader.upTo(1)).length > 0) {
      throw new AuthenticationError("ERR_TRAILING", "data follows the header in the key blob", {
        hint: "a key blob holds the header alone; a whole message is opened without --key-blob",
      });
    }
    return parsed;
  } finally {
    await reader.close();
  }
}

async function* inOrder(
  header: Uint8Array,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield header;
  yield* body;
}
