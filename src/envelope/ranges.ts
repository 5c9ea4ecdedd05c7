/**
 * Reads parts of a message's plaintext without the rest: the position of a segment is known, and
 * each opens by itself. `openRanges` says what is checked and what can't be.
 */
import { layoutOf, type SegmentCipher } from "../body/segments.js";
import { defined } from "../defined.js";
import { AuthenticationError, UnsupportedError } from "../errors.js";
import type { KnownPublicKey, NamedKey } from "../keys/key.js";
import { Reader } from "../stream.js";
import type { MessageInfo } from "./message-info.js";
import { beginOpening } from "./messages.js";
import type { OpenOptions } from "./open-options.js";
import { requireRunning, unlessAborted, watched } from "./watched.js";

/** A message that can be read at any offset: a file, an object in a store. */
export interface RandomAccessSource {
  /** Bytes of the sealed message. */
  readonly size: number;
  /** `length` bytes from `offset`, within `size`. If it returns fewer, the message was cut off. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A message whose header is authentic, and whose plaintext can be read at any offset. */
export interface OpenedRanges {
  readonly info: MessageInfo;
  /** Which of the identities opened it; absent: a passphrase did. */
  readonly identity?: NamedKey<KnownPublicKey>;
  /**
   * Bytes of plaintext, computed from the source's size. If the message was cut off, this is wrong;
   * `verifySize` detects that.
   */
  readonly size: number;
  /**
   * The plaintext from `offset`: `length` bytes, or fewer at the end. Every byte is authentic and
   * in its original place.
   *
   * @throws AuthenticationError `ERR_SEGMENT`, `ERR_TRUNCATED`; RangeError; whatever the source
   *   throws; AbortedError `ERR_ABORTED`
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Opens the last segment. It opens only if it was the last one that was sealed, so afterwards
   * `size` is certain. Throws as `read` does.
   */
  verifySize(): Promise<void>;
}

/**
 * Opens a message to read parts of its plaintext. Reads the header, rounded up to 4 KiB, and then
 * only the segments that a part touches.
 *
 * A part is what somebody who has the file key sealed there. Reading it does not prove that the
 * rest is present or undamaged. Nor does it prove that the sender of a signed message sealed this
 * body: the signature at the end covers all of it, and `verifySender` checks that. So the result
 * names no sender. `authenticate` gets the signer of the header, as always.
 *
 * @throws as `open`; AuthenticationError `ERR_TRUNCATED` for a size that no message has;
 *   UnsupportedError `ERR_NO_SEGMENTS` for a format whose body has to be read from its start, and
 *   for a message in armour
 */
export async function openRanges(
  source: RandomAccessSource,
  options: Omit<OpenOptions, "onProgress">,
): Promise<OpenedRanges> {
  const { signal } = options;
  const reader = new Reader(watched(fromStart(source), { signal }));
  try {
    const { info, identity, body } = await beginOpening(reader, {
      ...options,
      // Before any key is looked for: positions in the text are not the message's.
      async authenticate(sender) {
        if (reader.isDecoded) throw notAlone("a message in armour");
        await options.authenticate?.(sender);
      },
    });
    if (body.kind !== "segments") {
      throw notAlone(info.format);
    }
    const end = source.size - (body.trailer?.bytes ?? 0);
    const segments = { source, signal, cipher: body.cipher, start: reader.consumed, end };
    return rangesOf(segments, { info, ...defined({ identity }) });
  } finally {
    await reader.close();
  }
}

/** All segments, one after the other, within a source. */
interface SealedSegments {
  readonly source: RandomAccessSource;
  readonly signal: AbortSignal | undefined;
  readonly cipher: SegmentCipher;
  readonly start: number;
  readonly end: number;
}

function notAlone(what: string): UnsupportedError {
  return new UnsupportedError("ERR_NO_SEGMENTS", `${what}: parts can't be read alone`, {
    hint: "open the whole message",
  });
}

function rangesOf(
  segments: SealedSegments,
  opened: Pick<OpenedRanges, "info" | "identity">,
): OpenedRanges {
  const { cipher, start, end } = segments;
  const layout = layoutOf(end - start, cipher);
  if (layout === undefined) throw cut();
  const { plaintextBytes: size, count } = layout;
  const segmentAt = (index: number): Promise<Uint8Array> => openSegmentOf(segments, index, count);
  return {
    ...opened,
    size,
    async read(offset, length) {
      requireCount("offset", offset);
      requireCount("length", length);
      if (offset > size) throw new RangeError(`offset ${offset} is after the end, at ${size}`);
      const result = new Uint8Array(Math.min(length, size - offset));
      for (let done = 0; done < result.length;) {
        const index = Math.floor((offset + done) / cipher.plaintextBytes);
        const plaintext = await segmentAt(index);
        const from = offset + done - index * cipher.plaintextBytes;
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

async function openSegmentOf(
  { source, signal, cipher, start, end }: SealedSegments,
  index: number,
  count: number,
): Promise<Uint8Array> {
  const from = start + index * cipher.segmentBytes;
  const length = Math.min(cipher.segmentBytes, end - from);
  requireRunning(signal);
  const sealed = await unlessAborted(source.read(from, length), signal);
  if (sealed.length !== length) throw cut();
  return cipher.open(index, index === count - 1, sealed);
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
    throw new RangeError(`${name} must be a number of bytes, not ${value}`);
  }
}

function cut(): AuthenticationError {
  return new AuthenticationError(
    "ERR_TRUNCATED",
    "the message was cut off: no message has this length",
    {
      hint: "the message is not complete; ask for it again",
    },
  );
}

const HEADER_STEP_BYTES = 4096;
