/**
 * A body in segments as a stream: sealed, opened, or only checked against its trailer, in order and
 * in constant memory. Who does the work on each segment is a `SegmentWork`.
 */
import { AuthenticationError } from "../errors.js";
import type { Reader } from "../stream.js";
import { leafHash, MerkleTree } from "./merkle.js";
import { emptySegment } from "./segment-faults.js";
import {
  overheadOf,
  type SegmentCipher,
  type SegmentDelivered,
  type SegmentSizes,
  type SegmentWork,
} from "./segments.js";

export interface SegmentsToSeal {
  readonly kind: "segments";
  /** Comes before the first segment. */
  readonly start: Uint8Array;
  readonly cipher: SegmentCipher;
  /** Makes what comes after the last segment; absent: nothing does. */
  readonly makeTrailer?: (summary: BodySummary) => Uint8Array;
}

export interface SegmentsToOpen {
  readonly kind: "segments";
  readonly cipher: SegmentCipher;
  readonly readSegment: ReadSegment;
  /** What follows the last segment; absent: nothing does. */
  readonly trailer?: ExpectedTrailer;
}

/** Reads the next segment, whole, to the start of `room`, which a full one fills. */
export type ReadSegment = (
  reader: Reader,
  room: Uint8Array,
  index: number,
) => Promise<{ readonly segment: Uint8Array; readonly final: boolean }>;

export interface ExpectedTrailer {
  readonly bytes: number;
  /** @throws AuthenticationError */
  check(summary: BodySummary, trailer: Uint8Array): void;
}

/** What a trailer can vouch for: all segments, by their hash. */
export interface BodySummary {
  /** Root of the Merkle tree over the sealed segments (`merkle.ts`), 32 bytes. */
  readonly root: Uint8Array;
  readonly plaintextBytes: number;
  readonly segments: number;
}

/** Some of a body. It is to be written, in one write, before the next is asked for. */
export interface BodyChunk {
  /** Empty where another thread has written them. */
  readonly parts: readonly Uint8Array[];
  /** Bytes that were added to the output by this chunk, by whomever they were written. */
  readonly bytes: number;
}

/** Seals all of `plaintext`: start, segments and trailer. Closes `plaintext`. */
export async function* sealSegments(
  { start, makeTrailer }: Pick<SegmentsToSeal, "start" | "makeTrailer">,
  work: SegmentWork,
  plaintext: Reader,
): AsyncGenerator<BodyChunk, void, undefined> {
  const summing = new Summing();
  const hashed = makeTrailer !== undefined;
  const overhead = overheadOf(work);
  const size = work.plaintextBytes;
  const onDelivered = ({ leaf, bytes }: SegmentDelivered): void => {
    summing.add(leaf, bytes - overhead);
  };
  try {
    yield whole(start);
    // Which segment is the last is known only once nothing comes after it, so one is read ahead.
    let room = work.room();
    let filled = await plaintext.into(room.subarray(0, size));
    for (let index = 0, final = false; !final; index++) {
      const ahead = work.room();
      const next = filled === size ? await plaintext.into(ahead.subarray(0, size)) : 0;
      final = next === 0;
      const segment = { index, final, bytes: room.subarray(0, filled), hashed };
      const done = await work.seal(segment, onDelivered);
      if (done !== undefined) {
        onDelivered(done);
        yield done;
        work.giveBack(room);
      }
      room = ahead;
      filled = next;
    }
    if (makeTrailer !== undefined) yield whole(makeTrailer(summing.summary()));
  } catch (error) {
    await work.idle();
    throw work.failure ?? error;
  } finally {
    await plaintext.close();
  }
}

/**
 * Opens the segments that `sealed` has next. Each comes after its tag was checked; the last one
 * only after the trailer and the end of the input were checked too, and `beforeLast` has run.
 * Closes `sealed`.
 *
 * @throws AuthenticationError `ERR_SEGMENT`, `ERR_TRUNCATED`, `ERR_TRAILING`; what the trailer's
 *   check throws
 */
export async function* openSegments(
  { readSegment, trailer }: Pick<SegmentsToOpen, "readSegment" | "trailer">,
  work: SegmentWork,
  sealed: Reader,
  beforeLast?: () => Promise<void>,
): AsyncGenerator<BodyChunk, void, undefined> {
  const summing = new Summing();
  const hashed = trailer !== undefined;
  let elsewhere = 0;
  const onDelivered = ({ leaf, bytes }: SegmentDelivered): void => {
    summing.add(leaf, bytes);
    elsewhere += bytes;
  };
  try {
    for (let index = 0, isLast = false; !isLast; index++) {
      const room = work.room();
      const { segment, final } = await readSegment(sealed, room, index);
      isLast = final;
      const done = await work.open({ index, final, bytes: segment, hashed }, onDelivered);
      if (done === undefined) continue;
      // Every length has one chunking: only an empty message ends with an empty segment.
      if (final && index > 0 && done.bytes === 0) throw emptySegment(index);
      summing.add(done.leaf, done.bytes);
      if (final) {
        await checkEnd(sealed, summing, trailer);
        await beforeLast?.();
      }
      yield done;
      work.giveBack(room);
    }
    yield { parts: [], bytes: elsewhere };
  } catch (error) {
    await work.idle();
    yield { parts: [], bytes: elsewhere };
    throw work.failure ?? error;
  } finally {
    await sealed.close();
  }
}

/**
 * Checks a body against its trailer without opening it, and so without any key. Reads `sealed` from
 * the first segment to the end.
 *
 * @throws as `openSegments`
 */
export async function verifyTrailer(
  body: { readonly readSegment: ReadSegment; readonly trailer: ExpectedTrailer } & SegmentSizes,
  sealed: Reader,
): Promise<void> {
  const { readSegment, trailer } = body;
  const summing = new Summing();
  const room = new Uint8Array(body.segmentBytes);
  for (let index = 0, isLast = false; !isLast; index++) {
    const { segment, final } = await readSegment(sealed, room, index);
    isLast = final;
    summing.add(leafHash(segment), segment.length - overheadOf(body));
  }
  await checkEnd(sealed, summing, trailer);
}

/** Gathers, as segments pass, what a trailer vouches for. */
class Summing {
  readonly #tree = new MerkleTree();
  #plaintextBytes = 0;

  /** The next segment's leaf, absent where there is no trailer; and how much plaintext it has. */
  add(leaf: Uint8Array | undefined, plaintextBytes: number): void {
    if (leaf === undefined) return;
    this.#tree.add(leaf);
    this.#plaintextBytes += plaintextBytes;
  }

  summary(): BodySummary {
    return {
      root: this.#tree.root(),
      plaintextBytes: this.#plaintextBytes,
      segments: this.#tree.count,
    };
  }
}

/** Checks the trailer, if there is one, and that nothing follows. */
async function checkEnd(
  sealed: Reader,
  summing: Summing,
  trailer: ExpectedTrailer | undefined,
): Promise<void> {
  if (trailer !== undefined) {
    trailer.check(summing.summary(), await sealed.exactly(trailer.bytes, "the sender's trailer"));
  }
  const trailing = await sealed.upTo(1);
  if (trailing.length > 0) {
    throw new AuthenticationError("ERR_TRAILING", "data follows the end of the message", {
      hint: "something was appended to the message; ask for it again",
    });
  }
}

function whole(bytes: Uint8Array): BodyChunk {
  return { parts: [bytes], bytes: bytes.length };
}
