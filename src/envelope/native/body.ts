/**
 * The body of a message as a stream: segments sealed, opened, or only checked against the sender's
 * trailer, in their order and in constant memory.
 */
import type { KeyObject } from "node:crypto";
import { FLOE_HEADER_BYTES, SEGMENT_OVERHEAD, segmentLength } from "../../body/floe.js";
import { leafHash, MerkleTree } from "../../body/merkle.js";
import type { SegmentDelivered, SegmentDone, SegmentWork } from "../../body/segments.js";
import { AuthenticationError } from "../../errors.js";
import type { Reader } from "../../stream.js";
import { signBody, TRAILER_BYTES, verifyBody } from "./signature.js";

/** What the sender's trailer is made with. */
export interface TrailerSigning {
  readonly oneTimeKey: KeyObject;
  /** PRELUDE ‖ CORE ‖ SIG. */
  readonly immutablePart: Uint8Array;
}

/** What the sender's trailer is checked against. */
export interface TrailerCheck {
  /** Raw Ed25519 public key, from the signed core. */
  readonly oneTimeKey: Uint8Array;
  /** PRELUDE ‖ CORE ‖ SIG. */
  readonly immutablePart: Uint8Array;
}

/** Some of a body: to be delivered, in one write, before the next is asked for; without parts, it was. */
export type Piece = Pick<SegmentDone, "parts" | "bytes">;

/** FLOE header, segments and, for a signed message, the trailer. Closes `reader`. */
export async function* sealBody(
  floeHeader: Uint8Array,
  work: SegmentWork,
  reader: Reader,
  signing: TrailerSigning | undefined,
): AsyncGenerator<Piece, void, undefined> {
  const sum = new BodySum(floeHeader);
  const told = ({ leaf, bytes }: SegmentDelivered): void => {
    if (leaf !== undefined) sum.add(leaf, bytes);
  };
  const hashed = signing !== undefined;
  const size = work.plaintextBytes;
  try {
    yield whole(floeHeader);
    // Which segment is the last is known only once nothing comes after it, so one is read ahead.
    let room = work.room();
    let filled = await reader.into(room.subarray(0, size));
    for (let index = 0, final = false; !final; index++) {
      const ahead = work.room();
      const next = filled === size ? await reader.into(ahead.subarray(0, size)) : 0;
      final = next === 0;
      const done = await work.seal({ index, final, bytes: room.subarray(0, filled), hashed }, told);
      if (done !== undefined) {
        told(done);
        yield done;
        work.giveBack(room);
      }
      room = ahead;
      filled = next;
    }
    if (signing !== undefined) {
      yield whole(signBody(signing.oneTimeKey, sum.summary(signing.immutablePart)));
    }
  } catch (error) {
    await work.idle();
    throw work.failure ?? error;
  } finally {
    await reader.close();
  }
}

/**
 * The plaintext of a body, whose FLOE header was read from `reader` already: each segment after its
 * tag was checked. The last one comes only after the end of the input and the sender's trailer, if
 * there is one, were checked too, and after `beforeLast`. Closes `reader`.
 */
export async function* openBody(
  floeHeader: Uint8Array,
  work: SegmentWork,
  reader: Reader,
  check: TrailerCheck | undefined,
  beforeLast?: () => Promise<void>,
): AsyncGenerator<Piece, void, undefined> {
  const sum = new BodySum(floeHeader);
  const hashed = check !== undefined;
  let delivered = 0;
  const told = ({ leaf, bytes }: SegmentDelivered): void => {
    if (leaf !== undefined) sum.add(leaf, bytes + SEGMENT_OVERHEAD);
    delivered += bytes;
  };
  try {
    for (let index = 0, isLast = false; !isLast; index++) {
      const room = work.room();
      const { segment, final } = await readSegment(reader, room, index);
      isLast = final;
      const done = await work.open({ index, final, bytes: segment, hashed }, told);
      if (done === undefined) continue;
      // Every length has one chunking: only an empty message ends with an empty segment.
      if (final && index > 0 && done.bytes === 0) throw damaged(index, "is empty");
      if (done.leaf !== undefined) sum.add(done.leaf, done.bytes + SEGMENT_OVERHEAD);
      if (final) {
        await checkEnd(reader, sum, check);
        await beforeLast?.();
      }
      yield done;
      work.giveBack(room);
    }
    yield { parts: [], bytes: delivered };
  } catch (error) {
    await work.idle();
    yield { parts: [], bytes: delivered };
    throw work.failure ?? error;
  } finally {
    await reader.close();
  }
}

/** What pieces consist of, one part after the other. */
export async function* partsOf(
  pieces: AsyncIterable<Piece>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { parts } of pieces) yield* parts;
}

/**
 * Checks that the sender signed this body, without any key: what follows a signed header in
 * `reader`, to its end.
 *
 * @throws AuthenticationError `ERR_TRUNCATED`, `ERR_SEGMENT`, `ERR_TRAILER`, `ERR_TRAILING`
 */
export async function checkTrailer(
  reader: Reader,
  segmentBytes: number,
  check: TrailerCheck,
): Promise<void> {
  const sum = new BodySum(await reader.exactly(FLOE_HEADER_BYTES, "the message's body"));
  const buffer = new Uint8Array(segmentBytes);
  for (let index = 0; ; index++) {
    const { segment, final } = await readSegment(reader, buffer, index);
    sum.add(leafHash(segment), segment.length);
    if (final) return checkEnd(reader, sum, check);
  }
}

function whole(bytes: Uint8Array): Piece {
  return { parts: [bytes], bytes: bytes.length };
}

/** What the trailer is over, gathered as segments pass. */
class BodySum {
  readonly #floeHeader: Uint8Array;
  readonly #tree = new MerkleTree();
  #plaintextBytes = 0;

  constructor(floeHeader: Uint8Array) {
    this.#floeHeader = floeHeader;
  }

  /** The leaf of a sealed segment, and its length. */
  add(leaf: Uint8Array, sealedBytes: number): void {
    this.#tree.add(leaf);
    this.#plaintextBytes += sealedBytes - SEGMENT_OVERHEAD;
  }

  summary(immutablePart: Uint8Array) {
    return {
      immutablePart,
      floeHeader: this.#floeHeader,
      root: this.#tree.root(),
      plaintextBytes: this.#plaintextBytes,
      segments: this.#tree.count,
    };
  }
}

/** The trailer of a signed message, and that nothing follows. */
async function checkEnd(
  reader: Reader,
  sum: BodySum,
  check: TrailerCheck | undefined,
): Promise<void> {
  if (check !== undefined) {
    const trailer = await reader.exactly(TRAILER_BYTES, "the sender's trailer");
    verifyBody(check.oneTimeKey, sum.summary(check.immutablePart), trailer);
  }
  const trailing = await reader.upTo(1);
  if (trailing.length > 0) {
    throw new AuthenticationError("ERR_TRAILING", "data follows the end of the message", {
      hint: "something was appended to the message; ask for it again",
    });
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
  if (length !== null && (length < SEGMENT_OVERHEAD || length > buffer.length)) {
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
