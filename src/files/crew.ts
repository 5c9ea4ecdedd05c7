/**
 * Threads that seal or open the segments of a stream and write them out themselves, in their order.
 * For pipes: one thread reads, and has its hands full with that; the bytes it read cross to another
 * processor once.
 *
 * They share memory: rooms for segments, and a list of jobs (`crew-work.ts`). Who asks for segments is
 * told when they were written. The last segment is done here, and is for the asker to deliver: on that
 * more may depend than its tag. So is all that comes before the threads have started: a short message
 * is done by then, and starts none.
 */
import { Worker } from "node:worker_threads";
import { SEGMENT_OVERHEAD, type SegmentCipher } from "../body/floe.js";
import {
  openSegment,
  sealSegment,
  type Segment,
  type SegmentDone,
  type SegmentWork,
} from "../body/segments.js";
import { FileFailure } from "./failure.js";
import {
  JobList,
  type CrewFailure,
  type CrewMessage,
  type CrewOrders,
  type Kind,
} from "./crew-work.js";

/** Where threads write: the rest of what its owner began, which writes nothing meanwhile. */
export interface Sink {
  readonly fd: number;
  /** Of a file that is written by position: where to go on. */
  readonly position?: number;
  /** Told of what was written. */
  wrote?(bytes: number): void;
}

export class Crew implements SegmentWork {
  readonly segmentBytes: number;
  readonly plaintextBytes: number;
  readonly #cipher: SegmentCipher;
  readonly #threads: number;
  readonly #sinkOf: () => Promise<Sink>;
  readonly #jobs: JobList;
  readonly #free: Uint8Array[];
  readonly #members: Member[] = [];
  readonly #given: Given[] = [];
  #sink: Sink | undefined;
  #position: number | undefined;
  #bytes = 0;
  #failure: Error | undefined;

  /**
   * `threads`: besides the one that reads; at least one. `sinkOf` is called once, after what was not
   * given to threads was delivered.
   */
  constructor(cipher: SegmentCipher, threads: number, sinkOf: () => Promise<Sink>) {
    this.#cipher = cipher;
    this.#threads = threads;
    this.#sinkOf = sinkOf;
    this.segmentBytes = cipher.segmentBytes;
    this.plaintextBytes = cipher.plaintextBytes;
    this.#jobs = new JobList({ entries: threads * JOBS_EACH, segmentBytes: cipher.segmentBytes });
    this.#free = [...this.#jobs.rooms].reverse();
  }

  /** One, until threads are there. */
  get inHand(): number {
    return this.#sink === undefined ? 1 : this.#jobs.entries;
  }

  room(): Uint8Array {
    const room = this.#free.pop();
    if (room === undefined) throw new RangeError("more segments in hand than there is room for");
    return room;
  }

  giveBack(room: Uint8Array): void {
    this.#free.push(room);
  }

  seal(segment: Segment): Promise<SegmentDone> {
    return this.#done("seal", segment);
  }

  open(segment: Segment): Promise<SegmentDone> {
    return this.#done("open", segment);
  }

  /** Ends the threads, whatever they have in hand. */
  close(): void {
    this.#fail(new Error("nobody waits for this segment"));
    for (const member of this.#members.splice(0)) member.dismiss();
  }

  async #done(kind: Kind, segment: Segment): Promise<SegmentDone> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#bytes += segment.bytes.length;
    if (this.#bytes > SHORT_BYTES && this.#members.length === 0) this.#start(kind, segment.hashed);
    if (segment.final || !this.#isReady()) return here(this.#cipher, kind, segment);
    if (this.#sink === undefined) {
      this.#sink = await this.#sinkOf();
      this.#position = this.#sink.position;
    }
    return this.#give(kind, segment, this.#sink);
  }

  #isReady(): boolean {
    return this.#members.some(({ ready }) => ready) && !this.#jobs.isUsedUp;
  }

  #give(kind: Kind, segment: Segment, { fd }: Sink): Promise<SegmentDone> {
    const { length } = segment.bytes;
    const bytes = kind === "seal" ? length + SEGMENT_OVERHEAD : length - SEGMENT_OVERHEAD;
    const given = new Given(kind, segment, bytes);
    this.#given.push(given);
    this.#jobs.add(segment, fd, this.#position);
    if (this.#position !== undefined) this.#position += bytes;
    this.#collect();
    return given.done;
  }

  /** Whatever was written since it was looked at last. */
  #collect(): void {
    for (const leaf of this.#jobs.written()) {
      const given = this.#given.shift();
      if (given === undefined) throw new TypeError("a segment that nobody waits for");
      this.#sink?.wrote?.(given.bytes);
      const done = { parts: [], bytes: given.bytes };
      given.resolve(given.segment.hashed ? { ...done, leaf } : done);
    }
  }

  /** The next segment is the one that failed: those before it were written. */
  #failed(failure: CrewFailure): void {
    const given = this.#given[0];
    if (failure.kind === "write" || given === undefined) {
      this.#fail(new FileFailure("write", failure.kind === "write" ? failure.code : "EIO"));
      return;
    }
    try {
      // It failed there; here it fails alike, as the error that callers know.
      here(this.#cipher, given.kind, given.segment);
      this.#fail(new Error("a segment is authentic for one thread, and not for another"));
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#given.splice(0)) reject(this.#failure);
  }

  #start(kind: Kind, hashed: boolean): void {
    const orders = { crew: this.#cipher.exportState(), kind, hashed, jobs: this.#jobs.shared };
    for (let i = 0; i < this.#threads; i++) {
      const member = new Member(orders, (message) => {
        this.#collect();
        if (message instanceof Error) this.#fail(message);
        else if (typeof message === "object") this.#failed(message);
      });
      this.#members.push(member);
    }
  }
}

/** A segment that threads have, and its promise. */
class Given {
  readonly done: Promise<SegmentDone>;
  resolve!: (done: SegmentDone) => void;
  reject!: (error: Error) => void;
  readonly kind: Kind;
  readonly segment: Segment;
  /** Of what it becomes. */
  readonly bytes: number;

  constructor(kind: Kind, segment: Segment, bytes: number) {
    this.kind = kind;
    this.segment = segment;
    this.bytes = bytes;
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** One thread. */
class Member {
  /** It has started. */
  ready = false;
  readonly #worker: Worker;

  constructor(orders: CrewOrders, tell: (message: CrewMessage | Error) => void) {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: orders });
    this.#worker.on("message", (message: CrewMessage) => {
      this.ready = true;
      tell(message);
    });
    this.#worker.on("error", tell);
    this.#worker.on("exit", () => {
      tell(new Error("a thread ended before its work did"));
    });
  }

  dismiss(): void {
    void this.#worker.terminate();
  }
}

function here(cipher: SegmentCipher, kind: Kind, segment: Segment): SegmentDone {
  return kind === "seal" ? sealSegment(cipher, segment) : openSegment(cipher, segment);
}

/** Jobs waiting for each thread, so that it need not wait while others have the processors. */
const JOBS_EACH = 6;

/** A message up to this is done by the time that threads have started. */
const SHORT_BYTES = 4 * 1024 * 1024;
