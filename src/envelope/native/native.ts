/**
 * Seal and open in p11seal's own format. Read top-down: `sealMessage` and `openMessage` are the
 * format's two stories, in the order in which things must happen.
 */
import { randomBytes } from "node:crypto";
import { concat } from "../../bytes.js";
import { FLOE_HEADER_BYTES, segmentLength, type SegmentCipher } from "../../body/floe.js";
import { AuthenticationError, NoMatchError, UnsupportedError } from "../../errors.js";
import type { Identity, OaepHash, Recipient } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import { ByteStream, Reader, type ByteSource } from "../../stream.js";
import {
  DEFAULT_SEG_LOG2,
  encodeTranscript,
  MAX_SEG_LOG2,
  MIN_SEG_LOG2,
  readHeader,
  encodeSignedPart,
  type ParsedHeader,
} from "./header.js";
import { messageInfo, type MessageInfo } from "./info.js";
import { headerMac, sealBodyUnder, VerifiedHeader } from "./key-schedule.js";
import { FILE_KEY_BYTES, type Stanza } from "./recips.js";
import { stanzasFor, unwrapFileKey, wrapFileKey } from "./wrap.js";

export interface SealOptions {
  /** Whom to seal to: 1 to 1,024 keys. */
  readonly recipients: readonly Recipient[];
  /** OAEP hash for RSA recipients; by default what is recorded with each key, or two stanzas. */
  readonly oaep?: OaepHash;
  /** A segment has 2^segLog2 bytes; 12 to 22, by default 18. */
  readonly segLog2?: number;
}

/** A sealed message. Its header is ready; its body is sealed as it is read, once. */
export interface Sealed {
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
 * @throws UsageError `ERR_NO_RECIPIENTS`; PolicyError `ERR_TOO_MANY_RECIPIENTS`
 */
export async function sealMessage(plaintext: ByteSource, options: SealOptions): Promise<Sealed> {
  const segLog2 = options.segLog2 ?? DEFAULT_SEG_LOG2;
  if (!Number.isInteger(segLog2) || segLog2 < MIN_SEG_LOG2 || segLog2 > MAX_SEG_LOG2) {
    throw new RangeError(`segLog2 is ${MIN_SEG_LOG2} to ${MAX_SEG_LOG2}, got ${segLog2}`);
  }
  const core = { messageId: new Uint8Array(randomBytes(16)) };
  const fileKey = new Secret(new Uint8Array(randomBytes(FILE_KEY_BYTES)));
  const stanzas = await wrapFileKey(fileKey, core.messageId, options.recipients, options.oaep);

  const transcript = encodeTranscript({ segLog2, core, extensions: [], stanzas });
  const header = concat(transcript, headerMac(fileKey, transcript));
  const floe = sealBodyUnder(fileKey, encodeSignedPart(segLog2, core), segLog2);
  fileKey.wipe();

  const body = new ByteStream(sealBody(floe.header, floe.segments, plaintext));
  return { header, body, stream: () => new ByteStream(inOrder(header, body)) };
}

async function* sealBody(
  header: Uint8Array,
  segments: SegmentCipher,
  plaintext: ByteSource,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = new Reader(plaintext);
  try {
    yield header;
    // Which segment is the last is known only once nothing comes after it, so one is read ahead.
    let [current, ahead] = [segments.plaintextBytes, segments.plaintextBytes].map(
      (length) => new Uint8Array(length),
    ) as [Uint8Array, Uint8Array];
    let filled = await reader.into(current);
    for (let index = 0; ; index++) {
      const next = filled === current.length ? await reader.into(ahead) : 0;
      const final = next === 0;
      yield* segments.seal(index, final, current.subarray(0, filled));
      if (final) return;
      [current, ahead] = [ahead, current];
      filled = next;
    }
  } finally {
    await reader.close();
  }
}

export interface OpenOptions {
  /** What can reach the private keys; the first that matches a recipient is used. */
  readonly identities: readonly Identity[];
  /** The header, where it was detached from the body. */
  readonly header?: ByteSource;
}

/** A message whose header is authentic. */
export interface Opened {
  readonly info: MessageInfo;
  /** Which of the identities opened it. */
  readonly identity: Identity;
  /**
   * The plaintext, a segment at a time, each after its tag was checked. Only its end tells that the
   * message was whole: a consumer that can't wait takes back what it has when the stream throws.
   */
  readonly plaintext: ByteStream;
}

/**
 * Opens a message with the first identity that matches one of its recipients.
 *
 * @throws FormatError `ERR_NOT_A_MESSAGE`; UnsupportedError; NoMatchError `ERR_NO_MATCH`, before
 * any identity was unlocked; TokenError from unlocking; AuthenticationError
 */
export async function openMessage(sealed: ByteSource, options: OpenOptions): Promise<Opened> {
  const reader = new Reader(sealed);
  try {
    const header =
      options.header === undefined ? await readHeader(reader) : await readDetached(options.header);
    refuseSigned(header);

    const { identity, stanzas } = firstMatch(header, options.identities);
    const privateKey = await identity.unlock();
    const fileKey = await unwrapFileKey(
      identity.publicKey,
      privateKey,
      header.core.messageId,
      stanzas,
    );

    const verified = VerifiedHeader.verify(header, fileKey);
    const floeHeader = await reader.exactly(FLOE_HEADER_BYTES, "the message's body");
    const segments = verified.openBody(floeHeader);
    const plaintext = new ByteStream(openSegments(segments, reader));
    return { info: messageInfo(header), identity, plaintext };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function* openSegments(
  segments: SegmentCipher,
  reader: Reader,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    const buffer = new Uint8Array(segments.segmentBytes);
    for (let index = 0; ; index++) {
      const { segment, final } = await readSegment(reader, buffer, index);
      const plaintext = segments.open(index, final, segment);
      // Every length has one chunking: only an empty message ends with an empty segment.
      if (final && index > 0 && plaintext.length === 0) throw damaged(index, "is empty");
      if (final) {
        const trailing = await reader.upTo(1);
        if (trailing.length > 0) {
          throw new AuthenticationError("ERR_TRAILING", "data follows the end of the message", {
            hint: "something was appended to the message; ask for it again",
          });
        }
      }
      yield plaintext;
      if (final) return;
    }
  } finally {
    await reader.close();
  }
}

/** One sealed segment, whole. A last segment says how long it is; the others fill `buffer`. */
async function readSegment(
  reader: Reader,
  buffer: Uint8Array,
  index: number,
): Promise<{ segment: Uint8Array; final: boolean }> {
  const field = buffer.subarray(0, 4);
  if ((await reader.into(field)) < 4) throw cut(index);
  const length = segmentLength(field);
  if (length !== null && (length < 32 || length > buffer.length)) {
    throw damaged(index, `claims ${length} bytes`);
  }
  const segment = buffer.subarray(0, length ?? buffer.length);
  const rest = segment.subarray(4);
  if ((await reader.into(rest)) < rest.length) throw cut(index);
  return { segment, final: length !== null };
}

function cut(index: number): AuthenticationError {
  return new AuthenticationError("ERR_TRUNCATED", `the message ends within segment ${index}`, {
    hint: "the message is not complete; ask for it again",
  });
}

function damaged(index: number, how: string): AuthenticationError {
  return new AuthenticationError("ERR_SEGMENT", `segment ${index} ${how}`, {
    hint: "the message was altered or damaged on its way; ask for it again",
  });
}

/** The first identity that a stanza was made for, with its stanzas. Nothing is unlocked here. */
function firstMatch(
  { core, stanzas }: ParsedHeader,
  identities: readonly Identity[],
): { identity: Identity; stanzas: Stanza[] } {
  for (const identity of identities) {
    const matching = stanzasFor(identity.publicKey, core.messageId, stanzas);
    if (matching.length > 0) return { identity, stanzas: matching };
  }
  const tried = identities.map(({ name }) => name).join(", ") || "none";
  throw new NoMatchError("ERR_NO_MATCH", "no identity matches a recipient of this message", {
    hint: `identities tried: ${tried}; see whom it is for with: p11seal inspect`,
  });
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

function refuseSigned(header: ParsedHeader): void {
  if (header.signature !== undefined) {
    throw new UnsupportedError("ERR_SIGNED", "the message is signed by its sender", {
      hint: "a newer p11seal checks the signature and opens it",
    });
  }
}

async function* inOrder(
  header: Uint8Array,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield header;
  yield* body;
}
