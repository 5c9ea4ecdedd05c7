/**
 * The body of a message as a stream: segments sealed, opened, or only checked against the sender's
 * trailer, in their order and in constant memory.
 */
import type { KeyObject } from "node:crypto";
import { FLOE_HEADER_BYTES, SEGMENT_OVERHEAD, segmentLength } from "../../body/floe.js";
import { leafHash, MerkleTree } from "../../body/merkle.js";
import type { SegmentDone, SegmentWork } from "../../body/segments.js";
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

/** Some of a body: to be delivered, in one write, before the next is asked for; or delivered, and told. */
export type Piece = Pick<SegmentDone, "parts" | "bytes">;

/** FLOE header, segments and, for a signed message, the trailer. Closes `reader`. */
export async function* sealBody(
  floeHeader: Uint8Array,
  work: SegmentWork,
  reader: Reader,
  signing: TrailerSigning | undefined,
): AsyncGenerator<Piece, void, undefined> {
  const sum = new BodySum(floeHeader);
  try {
    yield whole(floeHeader);
    const tasks = sealTasks(work, reader, signing !== undefined);
    for await (const { parts, bytes, leaf, room } of inOrder(tasks, work)) {
      if (leaf !== undefined) sum.add(leaf, bytes);
      yield { parts, bytes };
      work.giveBack(room);
    }
    if (signing !== undefined) {
      yield whole(signBody(signing.oneTimeKey, sum.summary(signing.immutablePart)));
    }
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
  try {
    const tasks = openTasks(work, reader, check !== undefined);
    let index = 0;
    for await (const { parts, bytes, leaf, room, final } of inOrder(tasks, work)) {
      // Every length has one chunking: only an empty message ends with an empty segment.
      if (final && index > 0 && bytes === 0) throw damaged(index, "is empty");
      if (leaf !== undefined) sum.add(leaf, bytes + SEGMENT_OVERHEAD);
      if (final) {
        await checkEnd(reader, sum, check);
        await beforeLast?.();
      }
      yield { parts, bytes };
      work.giveBack(room);
      index++;
    }
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

/** A segment that is being worked on. */
interface Task {
  readonly done: Promise<SegmentDone>;
  readonly room: Uint8Array;
  readonly final: boolean;
}

async function* sealTasks(
  work: SegmentWork,
  reader: Reader,
  hashed: boolean,
): AsyncGenerator<Task, void, undefined> {
  // Which segment is the last is known only once nothing comes after it, so one is read ahead.
  let room = work.room();
  let filled = await reader.into(room.subarray(0, work.plaintextBytes));
  for (let index = 0; ; index++) {
    const ahead = work.room();
    const isFull = filled === work.plaintextBytes;
    const next = isFull ? await reader.into(ahead.subarray(0, work.plaintextBytes)) : 0;
    const final = next === 0;
    const done = work.seal({ index, final, bytes: room.subarray(0, filled), hashed });
    yield { done, room, final };
    if (final) return;
    room = ahead;
    filled = next;
  }
}

async function* openTasks(
  work: SegmentWork,
  reader: Reader,
  hashed: boolean,
): AsyncGenerator<Task, void, undefined> {
  for (let index = 0; ; index++) {
    const room = work.room();
    const { segment, final } = await readSegment(reader, room, index);
    yield { done: work.open({ index, final, bytes: segment, hashed }), room, final };
    if (final) return;
  }
}

/**
 * What tasks come to, in their order, as soon as they are done, while as many as the work takes are
 * under way. A failure is told in its turn: what came before it has left by then, as if all were done
 * one by one. One by one, nothing is read before what was read has left.
 */
async function* inOrder(
  tasks: AsyncGenerator<Task, void, undefined>,
  work: SegmentWork,
): AsyncGenerator<SegmentDone & Pick<Task, "room" | "final">, void, undefined> {
  const pending: Task[] = [];
  let asked: Promise<Asked> | undefined;
  let end: Asked | undefined;
  while (end === undefined || pending.length > 0) {
    const [first] = pending;
    if (end === undefined && pending.length < work.inHand) {
      asked ??= askedOf(tasks);
      const answer = await Promise.race(first === undefined ? [asked] : [asked, settled(first)]);
      if (answer !== undefined) {
        asked = undefined;
        if (answer.task === undefined) end = answer;
        else pending.push(answer.task);
        continue;
      }
    }
    if (first === undefined) break;
    pending.shift();
    yield { ...(await first.done), room: first.room, final: first.final };
  }
  if (end?.error !== undefined) throw end.error;
}

/** The next task; or that there is none, or why there is none. */
interface Asked {
  readonly task?: Task;
  readonly error?: Error;
}

async function askedOf(tasks: AsyncGenerator<Task, void, undefined>): Promise<Asked> {
  try {
    const next = await tasks.next();
    if (next.done === true) return {};
    next.value.done.catch(inItsTurn);
    return { task: next.value };
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
}

/** Resolves when the task has, in whatever way. */
async function settled({ done }: Task): Promise<undefined> {
  await done.catch(inItsTurn);
  return undefined;
}

function inItsTurn(): void {
  // Whoever waits for the task is told.
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
