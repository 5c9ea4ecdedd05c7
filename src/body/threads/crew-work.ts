/**
 * What the threads of `crew.ts` share, and what each does: take the next job, seal or open its segment,
 * wait for the segments before it to be written, write.
 */
import type { MessagePort } from "node:worker_threads";
import { SegmentCipher, type SegmentCipherState } from "../floe.js";
import { openSegment, sealSegment, type Segment, type SegmentDone } from "../segments.js";
import { AuthenticationError } from "../../errors.js";
import { blockingDescriptor, writeFully } from "./descriptors.js";
import { FileFailure } from "./failure.js";
import { keepFreedMemory, release } from "./release.js";

export type Kind = "seal" | "open";

/** With what a thread starts. Holds a key. */
export interface CrewOrders {
  readonly crew: SegmentCipherState;
  readonly kind: Kind;
  readonly hashed: boolean;
  readonly jobs: SharedJobs;
}

/** How a job ended badly; those before it are written, and none after it will be. */
export type CrewFailure =
  { readonly kind: "not authentic" } | { readonly kind: "write"; readonly code: string };

/** `written`: some jobs were, look. */
export type CrewMessage = "ready" | "written" | CrewFailure;

export interface SharedJobs {
  readonly counters: SharedArrayBuffer;
  readonly entries: SharedArrayBuffer;
  readonly leaves: SharedArrayBuffer;
  readonly rooms: SharedArrayBuffer;
  readonly roomBytes: number;
}

/** The jobs, as who gives them sees them. Each thread takes the next; they are written in their order. */
export class JobList {
  readonly shared: SharedJobs;
  /** How many may be given and not written yet. */
  readonly entries: number;
  /** For segments; two more than there are entries. */
  readonly rooms: readonly Uint8Array[];
  readonly #counters: Int32Array;
  #given = 0;
  #taken = 0;

  constructor(size: { readonly entries: number; readonly segmentBytes: number }) {
    const { entries, segmentBytes } = size;
    this.entries = entries;
    // The kernel gives these their pages when they are first used.
    this.shared = {
      counters: new SharedArrayBuffer(COUNTERS * 4),
      entries: new SharedArrayBuffer(entries * FIELDS * 8),
      leaves: new SharedArrayBuffer(entries * LEAF_BYTES),
      rooms: new SharedArrayBuffer((entries + 2) * segmentBytes),
      roomBytes: segmentBytes,
    };
    this.rooms = roomsOf(this.shared);
    this.#counters = new Int32Array(this.shared.counters);
  }

  /** Counters have 31 bits; what comes after so many segments is not for threads. */
  get isUsedUp(): boolean {
    return this.#given === MAX_JOBS;
  }

  /** What it becomes is written to `fd`: at `position`, or, without one, after what is there. */
  add({ index, bytes }: Segment, fd: number, position: number | undefined): void {
    const fields = fieldsOf(this.shared, this.#given % this.entries);
    const room = bytes.byteOffset / this.shared.roomBytes;
    fields.set([index, room, bytes.length, fd, position ?? -1]);
    // What was put into memory before this is seen by whoever sees this.
    Atomics.store(this.#counters, GIVEN, ++this.#given);
    Atomics.notify(this.#counters, GIVEN);
  }

  /** All of the room that a segment lies in. */
  roomOf(bytes: Uint8Array): Uint8Array {
    return this.rooms[bytes.byteOffset / this.shared.roomBytes] as Uint8Array;
  }

  /** The leaves of jobs written since the last call. */
  written(): Uint8Array[] {
    const leaves: Uint8Array[] = [];
    const written = Atomics.load(this.#counters, WRITTEN);
    for (; this.#taken < written; this.#taken++) {
      leaves.push(leafOf(this.shared, this.#taken % this.entries).slice());
    }
    return leaves;
  }
}

/** Works until the thread is ended, or a job fails; blocks the thread. */
export function serve(port: MessagePort, orders: CrewOrders): void {
  const { kind, hashed, jobs } = orders;
  const counters = new Int32Array(jobs.counters);
  const entries = jobs.leaves.byteLength / LEAF_BYTES;
  const rooms = roomsOf(jobs);
  const cipher = new SegmentCipher(orders.crew);
  const step = kind === "seal" ? sealSegment : openSegment;
  const own = new Map<number, number>();
  const tell = (message: CrewMessage): void => {
    port.postMessage(message);
  };
  keepFreedMemory();
  tell("ready");
  for (;;) {
    const job = Atomics.add(counters, TAKEN, 1);
    // Who gives jobs looks at what was written when it gives the next; if none comes, it has to be told.
    const isGiven = (given: number): boolean => given > job;
    if (!until(counters, GIVEN, isGiven, PATIENCE_MS)) {
      tell("written");
      until(counters, GIVEN, isGiven);
    }
    const [index = 0, room = 0, length = 0, fd = -1, position = -1] = fieldsOf(jobs, job % entries);
    const bytes = (rooms[room] as Uint8Array).subarray(0, length);
    try {
      const done = attempt(() => step(cipher, { index, final: false, bytes, hashed }));
      until(counters, WRITTEN, (written) => written === job);
      if (done === undefined) {
        tell({ kind: "not authentic" });
        return;
      }
      if (!own.has(fd)) own.set(fd, blockingDescriptor(fd));
      writeFully(own.get(fd) ?? fd, done.parts, position < 0 ? undefined : position);
      if (done.leaf !== undefined) leafOf(jobs, job % entries).set(done.leaf);
      for (const part of done.parts) if (part.length > SMALL_BYTES) release(part);
    } catch (error) {
      if (!(error instanceof FileFailure)) throw error;
      tell({ kind: "write", code: error.code });
      return;
    }
    Atomics.store(counters, WRITTEN, job + 1);
    Atomics.notify(counters, WRITTEN);
    // It waits when `entries` are given, and is told early enough to bring more in time.
    if (Atomics.load(counters, GIVEN) - (job + 1) === entries >> 1) tell("written");
  }
}

/** Undefined for a segment that is not authentic. */
function attempt(step: () => SegmentDone): SegmentDone | undefined {
  try {
    return step();
  } catch (error) {
    if (error instanceof AuthenticationError) return undefined;
    throw error;
  }
}

/** Sleeps until a counter has come so far. False: it has not, in that time. */
function until(
  counters: Int32Array,
  counter: number,
  isReached: (value: number) => boolean,
  milliseconds?: number,
): boolean {
  for (;;) {
    const value = Atomics.load(counters, counter);
    if (isReached(value)) return true;
    if (Atomics.wait(counters, counter, value, milliseconds) === "timed-out") return false;
  }
}

function roomsOf({ rooms, roomBytes }: SharedJobs): Uint8Array[] {
  return Array.from(
    { length: rooms.byteLength / roomBytes },
    (_, at) => new Uint8Array(rooms, at * roomBytes, roomBytes),
  );
}

function fieldsOf({ entries }: SharedJobs, entry: number): Float64Array {
  return new Float64Array(entries, entry * FIELDS * 8, FIELDS);
}

function leafOf({ leaves }: SharedJobs, entry: number): Uint8Array {
  return new Uint8Array(leaves, entry * LEAF_BYTES, LEAF_BYTES);
}

/** Counters: jobs given, jobs taken by a thread, jobs written. */
const GIVEN = 0;
const TAKEN = 1;
const WRITTEN = 2;
const COUNTERS = 3;
const MAX_JOBS = 2 ** 31 - 1;

/** A stream that is not slow has the next segment sooner. */
const PATIENCE_MS = 2;

/** Prefixes, tags, and what else is not worth freeing early. */
const SMALL_BYTES = 4096;

/** Of an entry: index, room, length, descriptor, position. */
const FIELDS = 5;
const LEAF_BYTES = 32;
