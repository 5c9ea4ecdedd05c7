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
import { SEGMENT_OVERHEAD, type SegmentCipher } from "../floe.js";
import {
  openSegment,
  sealSegment,
  type Segment,
  type SegmentDone,
  type SegmentWork,
  type Told,
} from "../segments.js";
import { AuthenticationError } from "../../errors.js";
import { FileFailure } from "./failure.js";
import {
  JobList,
  type CrewFailure,
  type CrewMessage,
  type CrewOrders,
  type Kind,
} from "./crew-work.js";

/** Where threads write the rest of what its owner began, and goes on with when they are done. */
export interface Sink {
  readonly fd: number;
  /** Of a file that is written by position: where to go on. */
  readonly position?: number;
  /** Told of what was written. */
  wrote?(bytes: number): void;
}

export interface CrewOptions {
  /** The most threads, besides the one that reads; at least one. */
  readonly most: number;
  /** All of them start when the first is worth its while; else the others once much has come. */
  readonly atOnce: boolean;
  /** Called once, after what was not given to threads was delivered. */
  readonly sink: () => Promise<Sink>;
  /** Called when there is a failure: whoever waits for more to read waits in vain. */
  readonly failed: () => void;
}

export class Crew implements SegmentWork {
  readonly segmentBytes: number;
  readonly plaintextBytes: number;
  readonly #cipher: SegmentCipher;
  readonly #options: CrewOptions;
  readonly #jobs: JobList;
  readonly #free: Uint8Array[];
  readonly #members: Member[] = [];
  readonly #given: Given[] = [];
  #sink: Sink | undefined;
  #position: number | undefined;
  #bytes = 0;
  /** How many threads there are to be. */
  #most: number;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(cipher: SegmentCipher, options: CrewOptions) {
    this.#cipher = cipher;
    this.#options = options;
    const { segmentBytes, plaintextBytes } = cipher;
    this.segmentBytes = segmentBytes;
    this.plaintextBytes = plaintextBytes;
    this.#most = options.most;
    this.#jobs = new JobList({ entries: options.most * JOBS_EACH, segmentBytes });
    this.#free = [...this.#jobs.rooms];
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  room(): Uint8Array {
    const room = this.#free.pop();
    if (room === undefined) throw new RangeError("more segments in hand than there is room for");
    return room;
  }

  giveBack(room: Uint8Array): void {
    this.#free.push(room);
  }

  seal(segment: Segment, told: Told): Promise<SegmentDone | undefined> {
    return this.#done({ kind: "seal", segment, told });
  }

  open(segment: Segment, told: Told): Promise<SegmentDone | undefined> {
    return this.#done({ kind: "open", segment, told });
  }

  idle(): Promise<void> {
    return this.#until(() => this.#given.length === 0);
  }

  /** Ends the threads, whatever they have in hand. */
  close(): void {
    this.#failure ??= new Error("nobody waits for this segment");
    for (const member of this.#members.splice(0)) member.dismiss();
  }

  async #done(asked: Given): Promise<SegmentDone | undefined> {
    const { kind, segment } = asked;
    this.#bytes += segment.bytes.length;
    this.#start(this.#wanted(), kind, segment.hashed);
    if (segment.final || !this.#isReady()) {
      await this.idle();
      this.#requireNoFailure();
      return here(this.#cipher, asked);
    }
    if (this.#sink === undefined) {
      this.#sink = await this.#options.sink();
      this.#position = this.#sink.position;
    }
    if (this.#given.length === this.#jobs.entries) {
      await this.#until(() => this.#given.length < this.#jobs.entries);
    }
    this.#requireNoFailure();
    this.#give(asked, this.#sink);
    return undefined;
  }

  #isReady(): boolean {
    return this.#members.some(({ ready }) => ready) && !this.#jobs.isUsedUp;
  }

  #requireNoFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #give(asked: Given, { fd }: Sink): void {
    this.#given.push(asked);
    this.#jobs.add(asked.segment, fd, this.#position);
    if (this.#position !== undefined) this.#position += resultBytes(asked);
    this.#collect();
  }

  /** Whatever was written since it was looked at last. */
  #collect(): void {
    for (const leaf of this.#jobs.written()) {
      const given = this.#given.shift();
      if (given === undefined) throw new TypeError("a segment that nobody waits for");
      const { segment, told } = given;
      this.#free.push(this.#jobs.roomOf(segment.bytes));
      const bytes = resultBytes(given);
      this.#sink?.wrote?.(bytes);
      told(segment.hashed ? { bytes, leaf } : { bytes });
    }
  }

  /** Resolves then, or when there is a failure. */
  async #until(isReached: () => boolean): Promise<void> {
    while (this.#failure === undefined && !isReached()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #heard(message: CrewMessage | Error): void {
    this.#collect();
    if (message instanceof Error) this.#fail(message);
    else if (typeof message === "object") this.#fail(this.#reasonOf(message));
    this.#wake?.();
  }

  /** Why the next segment failed: those before it were written. */
  #reasonOf(failure: CrewFailure): Error {
    if (failure.kind === "write") return new FileFailure("write", failure.code);
    const [given] = this.#given;
    try {
      // It failed there; here it fails alike, as the error that callers know.
      if (given !== undefined) here(this.#cipher, given);
    } catch (error) {
      if (error instanceof AuthenticationError) return error;
    }
    return new Error("a segment that one thread refused is good for another");
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#options.failed();
  }

  #wanted(): number {
    if (this.#bytes <= SHORT_BYTES) return 0;
    const { atOnce } = this.#options;
    return atOnce || this.#bytes > LONG_BYTES ? this.#most : Math.min(1, this.#most);
  }

  #start(wanted: number, kind: Kind, hashed: boolean): void {
    if (this.#members.length >= wanted) return;
    const orders = { crew: this.#cipher.exportState(), kind, hashed, jobs: this.#jobs.shared };
    const tell = (message: CrewMessage | Error): void => {
      this.#heard(message);
    };
    try {
      while (this.#members.length < wanted) this.#members.push(new Member(orders, tell));
    } catch {
      // No more threads are to be had: those that there are do it, or this one.
      this.#most = this.#members.length;
    }
  }
}

/** A segment that threads have, and who is told. */
interface Given {
  readonly kind: Kind;
  readonly segment: Segment;
  readonly told: Told;
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

function here(cipher: SegmentCipher, { kind, segment }: Given): SegmentDone {
  return kind === "seal" ? sealSegment(cipher, segment) : openSegment(cipher, segment);
}

function resultBytes({ kind, segment }: Given): number {
  const { length } = segment.bytes;
  return kind === "seal" ? length + SEGMENT_OVERHEAD : length - SEGMENT_OVERHEAD;
}

/** Jobs waiting for each thread, so that it need not wait while others have the processors. */
const JOBS_EACH = 6;

/** A message up to this is done by the time that threads have started. */
const SHORT_BYTES = 4 * 1024 * 1024;

/** A message of more than this gains by a thread more what the thread's start costs. */
const LONG_BYTES = 64 * 1024 * 1024;
