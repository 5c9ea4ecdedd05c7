/**
 * Threads that seal or open the segments of a stream and write the results themselves, in order.
 * Made for pipes: reading keeps this thread busy, and the bytes it has read cross to another
 * processor only once.
 *
 * The threads share memory: buffers for segments, and a list of jobs (`crew-work.ts`). The caller
 * is told when a segment is written. The last segment is done in this thread and handed to the
 * caller, because more than its tag may have to be checked before it is delivered. So are the
 * segments that come before the threads have started: a short message is done by then, and starts
 * none.
 */
import { Worker } from "node:worker_threads";
import {
  openSegment,
  overheadOf,
  sealSegment,
  type OnDelivered,
  type Segment,
  type SegmentCipher,
  type SegmentDone,
  type SegmentSizes,
  type SegmentWork,
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

/** An output that its owner begins, threads continue, and the owner takes up again. */
export interface Sink {
  readonly fd: number;
  /** Where to continue, in a file that is written at positions. */
  readonly position?: number;
  /** Called with how many bytes were written. */
  wrote?(bytes: number): void;
}

export interface CrewOptions {
  /** The most threads to start, besides the one that reads; at least one. */
  readonly most: number;
  /**
   * Start all of them when the first is worth its start; otherwise the others follow in a long
   * message.
   */
  readonly atOnce: boolean;
  /** Called once the caller has written every segment that was handed back to it. */
  readonly sink: () => Promise<Sink>;
  /** Called at a failure: there is no use in waiting for more input then. */
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
  /** Added to the list of jobs, not yet known to be written; in order. */
  readonly #pending: Task[] = [];
  #sink: Sink | undefined;
  #position: number | undefined;
  #bytes = 0;
  /** How many threads to start at most; fewer once the system refused one. */
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

  seal(segment: Segment, onDelivered: OnDelivered): Promise<SegmentDone | undefined> {
    return this.#done({ kind: "seal", segment, onDelivered });
  }

  open(segment: Segment, onDelivered: OnDelivered): Promise<SegmentDone | undefined> {
    return this.#done({ kind: "open", segment, onDelivered });
  }

  idle(): Promise<void> {
    return this.#until(() => this.#pending.length === 0);
  }

  /** Ends the threads, whatever they are doing. */
  close(): void {
    this.#failure ??= new Error("the threads were ended");
    for (const member of this.#members.splice(0)) member.dismiss();
  }

  async #done(task: Task): Promise<SegmentDone | undefined> {
    const { kind, segment } = task;
    this.#bytes += segment.bytes.length;
    this.#start(this.#wanted(), kind, segment.hashed);
    if (segment.final || !this.#isReady()) {
      await this.idle();
      this.#requireNoFailure();
      return doHere(this.#cipher, task);
    }
    if (this.#sink === undefined) {
      this.#sink = await this.#options.sink();
      this.#position = this.#sink.position;
    }
    if (this.#pending.length === this.#jobs.entries) {
      await this.#until(() => this.#pending.length < this.#jobs.entries);
    }
    this.#requireNoFailure();
    this.#add(task, this.#sink);
    return undefined;
  }

  #isReady(): boolean {
    return this.#members.some(({ ready }) => ready) && !this.#jobs.isUsedUp;
  }

  #requireNoFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #add(task: Task, { fd }: Sink): void {
    this.#pending.push(task);
    this.#jobs.add(task.segment, fd, this.#position);
    if (this.#position !== undefined) this.#position += resultBytes(task, this);
    this.#collect();
  }

  /** Reports the segments that were written since the last call. */
  #collect(): void {
    for (const leaf of this.#jobs.written()) {
      const task = this.#pending.shift();
      if (task === undefined) throw new TypeError("more segments written than were asked for");
      const { segment, onDelivered } = task;
      this.#free.push(this.#jobs.roomOf(segment.bytes));
      const bytes = resultBytes(task, this);
      this.#sink?.wrote?.(bytes);
      onDelivered(segment.hashed ? { bytes, leaf } : { bytes });
    }
  }

  /** Resolves when `isReached` holds, or when there is a failure. */
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

  /** Why the first pending segment failed: those before it were written. */
  #reasonOf(failure: CrewFailure): Error {
    if (failure.kind === "write") return new FileFailure("write", failure.code);
    const [task] = this.#pending;
    try {
      // It fails in this thread too, with the error that callers know.
      if (task !== undefined) doHere(this.#cipher, task);
    } catch (error) {
      if (error instanceof AuthenticationError) return error;
    }
    return new Error("one thread refused a segment that another one opens");
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
      // The system has no more threads: those that started do the work, or this one does.
      this.#most = this.#members.length;
    }
  }
}

interface Task {
  readonly kind: Kind;
  readonly segment: Segment;
  readonly onDelivered: OnDelivered;
}

/** One thread. */
class Member {
  /** It has started, and is taking jobs. */
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

function doHere(cipher: SegmentCipher, { kind, segment }: Task): SegmentDone {
  return kind === "seal" ? sealSegment(cipher, segment) : openSegment(cipher, segment);
}

function resultBytes({ kind, segment }: Task, sizes: SegmentSizes): number {
  const { length } = segment.bytes;
  return kind === "seal" ? length + overheadOf(sizes) : length - overheadOf(sizes);
}

/**
 * Jobs in the list per thread: enough that a thread does not run dry while others have the
 * processors.
 */
const JOBS_EACH = 6;

/** A message up to this long is done by the time threads have started. */
const SHORT_BYTES = 4 * 1024 * 1024;

/** In a message longer than this, another thread saves more time than its start takes. */
const LONG_BYTES = 64 * 1024 * 1024;
