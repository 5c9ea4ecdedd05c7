/**
 * What the threads of `crew.ts` share, and what each of them does: take the next job, seal or open
 * its segment, wait until the segments before it are written, write.
 */
import type { MessagePort } from "node:worker_threads";
import {
  cipherFrom,
  openSegment,
  sealSegment,
  type Segment,
  type SegmentCipherState,
  type SegmentDone,
} from "../segments.js";
import { AuthenticationError } from "../../errors.js";
import { blockingDescriptor, writeFully } from "./descriptors.js";
import { FileFailure } from "./failure.js";
import { keepFreedMemory, release } from "./release.js";

export type Kind = "seal" | "open";

/** What a thread is started with. Holds a key. */
export interface CrewOrders {
  readonly crew: SegmentCipherState;
  readonly kind: Kind;
  readonly hashed: boolean;
  readonly jobs: SharedJobs;
}

/** Why a job failed. The jobs before it are written; none after it will be. */
export type CrewFailure =
  { readonly kind: "not authentic" } | { readonly kind: "write"; readonly code: string };

/** `written`: jobs were written since the last message; `JobList.written` says which. */
export type CrewMessage = "ready" | "written" | CrewFailure;

export interface SharedJobs {
  readonly counters: SharedArrayBuffer;
  readonly entries: SharedArrayBuffer;
  readonly leaves: SharedArrayBuffer;
  readonly rooms: SharedArrayBuffer;
  readonly roomBytes: number;
}

/**
 * The jobs, as the thread that adds them sees them. Any thread takes the next one; the results are
 * written in order.
 */
export class JobList {
  readonly shared: SharedJobs;
  /** How many jobs may be waiting to be written. */
  readonly entries: number;
  /** Buffers for segments; two more than there are entries. */
  readonly rooms: readonly Uint8Array[];
  readonly #counters: Int32Array;
  #added = 0;
  #collected = 0;

  constructor(size: { readonly entries: number; readonly segmentBytes: number }) {
    const { entries, segmentBytes } = size;
    this.entries = entries;
    // The kernel gives this memory its pages only when they are first used.
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

  /** Counters have 31 bits: later segments must be done elsewhere. */
  get isUsedUp(): boolean {
    return this.#added === MAX_JOBS;
  }

  /** The result is written to `fd`: at `position`, or where the last write ended. */
  add({ index, bytes }: Segment, fd: number, position: number | undefined): void {
    const fields = fieldsOf(this.shared, this.#added % this.entries);
    const room = bytes.byteOffset / this.shared.roomBytes;
    fields.set([index, room, bytes.length, fd, position ?? -1]);
    // A thread that sees the new count also sees the entry and the segment stored before it.
    Atomics.store(this.#counters, ADDED, ++this.#added);
    Atomics.notify(this.#counters, ADDED);
  }

  /** The whole buffer that a segment lies in. */
  roomOf(bytes: Uint8Array): Uint8Array {
    return this.rooms[bytes.byteOffset / this.shared.roomBytes] as Uint8Array;
  }

  /** The leaves of the jobs that were written since the last call. */
  written(): Uint8Array[] {
    const leaves: Uint8Array[] = [];
    const written = Atomics.load(this.#counters, WRITTEN);
    for (; this.#collected < written; this.#collected++) {
      leaves.push(leafOf(this.shared, this.#collected % this.entries).slice());
    }
    return leaves;
  }
}

/** Works until the thread is ended or a job fails. Blocks the thread. */
export function serve(port: MessagePort, orders: CrewOrders): void {
  const { kind, hashed, jobs } = orders;
  const counters = new Int32Array(jobs.counters);
  const entries = jobs.leaves.byteLength / LEAF_BYTES;
  const rooms = roomsOf(jobs);
  const cipher = cipherFrom(orders.crew);
  const step = kind === "seal" ? sealSegment : openSegment;
  const blocking = new Map<number, number>();
  const tell = (message: CrewMessage): void => {
    port.postMessage(message);
  };
  keepFreedMemory();
  tell("ready");
  for (;;) {
    const job = Atomics.add(counters, TAKEN, 1);
    // The other side looks at what was written whenever it adds a job. It adds none now: tell it.
    const isAdded = (added: number): boolean => added > job;
    if (!until(counters, ADDED, isAdded, PATIENCE_MS)) {
      tell("written");
      until(counters, ADDED, isAdded);
    }
    const [index = 0, room = 0, length = 0, fd = -1, position = -1] = fieldsOf(jobs, job % entries);
    const bytes = (rooms[room] as Uint8Array).subarray(0, length);
    try {
      const done = unlessForged(() => step(cipher, { index, final: false, bytes, hashed }));
      until(counters, WRITTEN, (written) => written === job);
      if (done === undefined) {
        tell({ kind: "not authentic" });
        return;
      }
      if (!blocking.has(fd)) blocking.set(fd, blockingDescriptor(fd));
      writeFully(blocking.get(fd) ?? fd, done.parts, position < 0 ? undefined : position);
      if (done.leaf !== undefined) leafOf(jobs, job % entries).set(done.leaf);
      release(done.parts);
    } catch (error) {
      if (!(error instanceof FileFailure)) throw error;
      tell({ kind: "write", code: error.code });
      return;
    }
    Atomics.store(counters, WRITTEN, job + 1);
    Atomics.notify(counters, WRITTEN);
    // The other side waits while all entries are in use. Told at half, it adds more in time.
    if (Atomics.load(counters, ADDED) - (job + 1) === entries >> 1) tell("written");
  }
}

/** Undefined for a segment that is not authentic. */
function unlessForged(step: () => SegmentDone): SegmentDone | undefined {
  try {
    return step();
  } catch (error) {
    if (error instanceof AuthenticationError) return undefined;
    throw error;
  }
}

/** Sleeps until a counter satisfies `isReached`; false if it does not within `milliseconds`. */
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

/** Counters: jobs added, jobs taken by a thread, jobs written. */
const ADDED = 0;
const TAKEN = 1;
const WRITTEN = 2;
const COUNTERS = 3;
const MAX_JOBS = 2 ** 31 - 1;

/** A stream that keeps up brings the next segment sooner than this. */
const PATIENCE_MS = 2;

/** An entry's fields: index, room, length, descriptor, position. */
const FIELDS = 5;
const LEAF_BYTES = 32;
