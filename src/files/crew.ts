/**
 * Threads that seal or open the segments of a stream, handed to them one by one and given back in
 * whatever order they are done; who asked puts them in order. For pipes, where one thread has its hands
 * full with reading and writing.
 *
 * A short message is done before a thread has started, so it starts none.
 */
import { Worker } from "node:worker_threads";
import type { SegmentCipher } from "../body/floe.js";
import {
  openSegment,
  sealSegment,
  type Segment,
  type SegmentDone,
  type SegmentWork,
} from "../body/segments.js";
import type { CrewAnswer, CrewJob, CrewOrders } from "./crew-work.js";

export class Crew implements SegmentWork {
  readonly segmentBytes: number;
  readonly plaintextBytes: number;
  readonly inHand: number;
  readonly #cipher: SegmentCipher;
  readonly #threads: number;
  readonly #members: Member[] = [];
  #bytes = 0;
  #closed = false;

  /** `threads`: besides the one that reads and writes; at least one. */
  constructor(cipher: SegmentCipher, threads: number) {
    this.#cipher = cipher;
    this.#threads = threads;
    this.segmentBytes = cipher.segmentBytes;
    this.plaintextBytes = cipher.plaintextBytes;
    this.inHand = threads * JOBS_EACH + 1;
  }

  seal(segment: Segment): Promise<SegmentDone> {
    return this.#done("seal", segment);
  }

  open(segment: Segment): Promise<SegmentDone> {
    return this.#done("open", segment);
  }

  /** Ends the threads, whatever they have in hand. */
  close(): void {
    this.#closed = true;
    for (const member of this.#members.splice(0)) member.dismiss();
  }

  async #done(kind: CrewJob["kind"], segment: Segment): Promise<SegmentDone> {
    if (this.#closed) throw new Error("nobody waits for this segment");
    this.#bytes += segment.bytes.length;
    if (this.#bytes > SHORT_BYTES && this.#members.length === 0) this.#start();
    const member = this.#freest();
    // None yet, or all of them have enough to do: then here.
    if (member === undefined) return this.#here(kind, segment);
    const { index, final, hashed } = segment;
    const { length } = segment.bytes;
    const buffer = segment.bytes.buffer as ArrayBuffer;
    const answer = await member.give({ kind, index, final, hashed, length, buffer });
    if (answer.length !== undefined) {
      const result = {
        parts: [new Uint8Array(answer.buffer, 0, answer.length)],
        buffer: answer.buffer,
      };
      return answer.leaf === undefined ? result : { ...result, leaf: answer.leaf };
    }
    // It failed there; here it fails alike, as the error that callers know.
    return this.#here(kind, { ...segment, bytes: new Uint8Array(answer.buffer, 0, length) });
  }

  #here(kind: CrewJob["kind"], segment: Segment): SegmentDone {
    return kind === "seal"
      ? sealSegment(this.#cipher, segment)
      : openSegment(this.#cipher, segment);
  }

  #start(): void {
    for (let i = 0; i < this.#threads; i++) {
      this.#members.push(new Member({ crew: this.#cipher.exportState() }));
    }
  }

  #freest(): Member | undefined {
    const able = this.#members.filter(({ ready, load }) => ready && load < JOBS_EACH);
    return able.sort((a, b) => a.load - b.load)[0];
  }
}

/** One thread, and what it has in hand. */
class Member {
  /** It has started. */
  ready = false;
  readonly #worker: Worker;
  readonly #waiting: PromiseWithResolvers[] = [];
  #broken: Error | undefined;

  constructor(orders: CrewOrders) {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: orders });
    // Whoever waits for a segment keeps the process alive; an idle thread doesn't.
    this.#worker.unref();
    this.#worker.on("message", (answer: CrewAnswer | "ready") => {
      if (answer === "ready") this.ready = true;
      else this.#taken().resolve(answer);
    });
    this.#worker.on("error", (error) => {
      this.#fail(error);
    });
    this.#worker.on("exit", () => {
      this.#fail(new Error("a thread ended before its work did"));
    });
  }

  /** Jobs in hand. */
  get load(): number {
    return this.#waiting.length;
  }

  give(job: CrewJob): Promise<CrewAnswer> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage(job, [job.buffer]);
    });
  }

  dismiss(): void {
    void this.#worker.terminate();
  }

  #taken(): PromiseWithResolvers {
    const first = this.#waiting.shift();
    if (first === undefined) throw new TypeError("an answer that nobody waits for");
    if (this.#waiting.length === 0) this.#worker.unref();
    return first;
  }

  #fail(error: Error): void {
    this.#broken ??= error;
    this.ready = true;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#broken);
  }
}

interface PromiseWithResolvers {
  readonly resolve: (answer: CrewAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** One it works on, and some so that it need not wait while others have the processors. */
const JOBS_EACH = 4;

/** A message up to this is done by the time that threads have started. */
const SHORT_BYTES = 4 * 1024 * 1024;
