/**
 * Parts of a message's plaintext, without the rest: a segment lies where its position says, and opens
 * by itself. Read `openRanges` for what is checked, and what can't be.
 */
import type { SegmentCipher } from "../../body/floe.js";
import { layoutOf } from "../../body/segments.js";
import { AuthenticationError } from "../../errors.js";
import type { Identity } from "../../keys/key.js";
import { Reader } from "../../stream.js";
import type { MessageInfo } from "./info.js";
import { beginOpening, type OpenOptions } from "./native.js";
import { TRAILER_BYTES } from "./signature.js";

/** A message that can be read anywhere: a file, an object in a store. */
export interface RandomAccessSource {
  /** Bytes of the sealed message. */
  readonly size: number;
  /** `length` bytes from `offset` on, which lie within `size`. Fewer mean that the message was cut. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A message whose header is authentic, and whose plaintext can be read anywhere. */
export interface OpenedRanges {
  readonly info: MessageInfo;
  /** Which of the identities opened it. */
  readonly identity: Identity;
  /** Bytes of plaintext, as follows from the source's size; a cut message has fewer, and `verifySize` tells. */
  readonly size: number;
  /**
   * The plaintext from `offset` on: `length` bytes, or what there is before the end. Every byte is
   * authentic, and stands where it stood when it was sealed.
   *
   * @throws AuthenticationError `ERR_SEGMENT`, `ERR_TRUNCATED`; RangeError; whatever the source throws
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  /**
   * Reads the last segment, which is the last of what was sealed or does not open: then `size` is what
   * was sealed. Throws as `read` does.
   */
  verifySize(): Promise<void>;
}

/**
 * Opens a message for reading parts of its plaintext. Reads the header, rounded up to 4 KiB, and then
 * the segments that a part touches, nothing else.
 *
 * A part that was read is what somebody who holds the file key sealed there. It does not tell that the
 * rest is there or undamaged; nor, of a signed message, that its sender sealed this body, which takes
 * the signature at its end over all of it: `verifySender` checks that. So nothing here names a sender,
 * and `authenticate` sees who signed the header, as always.
 *
 * @throws as `open`; AuthenticationError `ERR_TRUNCATED` for a size that no message has
 */
export async function openRanges(
  source: RandomAccessSource,
  options: OpenOptions,
): Promise<OpenedRanges> {
  const reader = new Reader(fromStart(source));
  try {
    const { info, identity, segments, check } = await beginOpening(reader, options);
    const end = source.size - (check === undefined ? 0 : TRAILER_BYTES);
    return rangesOf({ source, segments, start: reader.consumed, end }, { info, identity });
  } finally {
    await reader.close();
  }
}

/** The segments, one after the other, within a source. */
interface Body {
  readonly source: RandomAccessSource;
  readonly segments: SegmentCipher;
  readonly start: number;
  readonly end: number;
}

function rangesOf(body: Body, opened: Pick<OpenedRanges, "info" | "identity">): OpenedRanges {
  const { segments } = body;
  const layout = layoutOf(body.end - body.start, segments.segmentBytes);
  if (layout === undefined) throw cut();
  const { plaintextBytes: size, count } = layout;
  const segmentAt = (index: number): Promise<Uint8Array> => openSegmentOf(body, index, count);
  return {
    ...opened,
    size,
    async read(offset, length) {
      requireCount("offset", offset);
      requireCount("length", length);
      if (offset > size) throw new RangeError(`offset ${offset} is after the end, at ${size}`);
      const result = new Uint8Array(Math.min(length, size - offset));
      for (let done = 0; done < result.length;) {
        const index = Math.floor((offset + done) / segments.plaintextBytes);
        const plaintext = await segmentAt(index);
        const from = offset + done - index * segments.plaintextBytes;
        const part = plaintext.subarray(from, from + result.length - done);
        result.set(part, done);
        done += part.length;
      }
      return result;
    },
    async verifySize() {
      await segmentAt(count - 1);
    },
  };
}

async function openSegmentOf(body: Body, index: number, count: number): Promise<Uint8Array> {
  const { source, segments, start, end } = body;
  const from = start + index * segments.segmentBytes;
  const length = Math.min(segments.segmentBytes, end - from);
  const sealed = await source.read(from, length);
  if (sealed.length !== length) throw cut();
  return segments.open(index, index === count - 1, sealed);
}

/** The source as a stream, for its header. */
async function* fromStart(source: RandomAccessSource): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < source.size;) {
    const bytes = await source.read(at, Math.min(HEADER_STEP_BYTES, source.size - at));
    if (bytes.length === 0) return;
    at += bytes.length;
    yield bytes;
  }
}

function requireCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${name} is a number of bytes, not ${value}`);
  }
}

function cut(): AuthenticationError {
  return new AuthenticationError("ERR_TRUNCATED", "the message has not the length of one", {
    hint: "the message is not complete; ask for it again",
  });
}

const HEADER_STEP_BYTES = 4096;
