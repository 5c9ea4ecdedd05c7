/**
 * A body in segments sealed or opened from file to file by several threads: the same bytes as on
 * the stream path (`segment-stream.ts`), sooner. Opening either succeeds or gives up: the stream
 * path then finds what is wrong with the message, so only one place decides what a bad message is.
 */
import { fstatSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { defined } from "../../defined.js";
import { AuthenticationError } from "../../errors.js";
import { MerkleTree } from "../merkle.js";
import type {
  BodySummary,
  ExpectedTrailer,
  SegmentsToOpen,
  SegmentsToSeal,
} from "../segment-stream.js";
import { layoutOf, segmentCount } from "../segments.js";
import { FileFailure } from "./failure.js";
import {
  bytesDone,
  faultOf,
  readUpTo,
  sharedState,
  stop,
  workOn,
  type Failure,
  type Region,
  type Work,
} from "./stripes.js";
import { sealTail } from "./tail.js";

export interface ParallelOptions {
  /** How many threads, this one included; at least one. */
  readonly threads: number;
  /** Called now and then with the bytes of plaintext done so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** Writes what is not a segment. */
export interface SmallWrites {
  /** Writes a few bytes at an absolute position of the output. */
  write(bytes: Uint8Array, position: number): Promise<void>;
}

/**
 * Seals the whole file at `input` as a message's body: start, segments and trailer, from
 * `output.offset` on. Bytes added to the file meanwhile are sealed too, as when a stream is read
 * to its end.
 *
 * @throws FileFailure
 */
export async function sealFile(
  input: { readonly fd: number },
  output: Region & SmallWrites,
  { start, cipher, makeTrailer }: SegmentsToSeal,
  options: ParallelOptions,
): Promise<void> {
  const { size } = fstatSync(input.fd);
  // All but the last: only when the others are done is it clear which segment is the last.
  const count = segmentCount(size, cipher) - 1;
  const leaves = makeTrailer === undefined ? undefined : new SharedArrayBuffer(32 * count);
  const plaintext = { fd: input.fd, offset: 0 };
  const body = { fd: output.fd, offset: output.offset + start.length };
  await output.write(start, output.offset);
  const failure = await inThreads(
    {
      kind: "seal",
      cipher: cipher.exportState(),
      input: plaintext,
      output: body,
      ...{ plaintextBytes: count * cipher.plaintextBytes, count, final: false },
      ...defined({ leaves }),
      shared: sharedState(),
    },
    options,
  );
  if (failure !== undefined && failure.kind !== "not authentic") {
    throw new FileFailure(failure.kind, failure.code);
  }
  const tree = leaves && treeOf(leaves);
  const { plaintextBytes, sealedBytes } = await asFileFailure(
    sealTail(plaintext, body, cipher, { first: count, size, ...defined({ tree }) }),
  );
  if (makeTrailer !== undefined && tree !== undefined) {
    const trailer = makeTrailer(summaryOf(tree, plaintextBytes));
    await output.write(trailer, body.offset + sealedBytes);
  }
}

/**
 * Opens the body whose segments begin at `input.offset` and end, with the trailer if there is one,
 * at the end of the file.
 *
 * @returns false when the body is not authentic, can't be read, or changed its length meanwhile:
 *   throw the output away then, and read the message as a stream to learn the reason
 * @throws FileFailure where the output can't be written
 */
export async function openFile(
  input: Region,
  output: Region,
  { cipher, trailer }: Pick<SegmentsToOpen, "cipher" | "trailer">,
  options: ParallelOptions,
): Promise<boolean> {
  const { size } = fstatSync(input.fd);
  const sealedBytes = size - input.offset - (trailer?.bytes ?? 0);
  const layout = layoutOf(sealedBytes, cipher);
  if (layout === undefined) return false;
  const { plaintextBytes, count } = layout;
  const leaves = trailer === undefined ? undefined : new SharedArrayBuffer(32 * count);
  const failure = await inThreads(
    {
      kind: "open",
      cipher: cipher.exportState(),
      input: { fd: input.fd, offset: input.offset },
      output: { fd: output.fd, offset: output.offset },
      ...{ plaintextBytes, count, final: true },
      ...defined({ leaves }),
      shared: sharedState(),
    },
    options,
  );
  if (failure?.kind === "write") throw new FileFailure(failure.kind, failure.code);
  if (failure !== undefined) return false;
  if (trailer !== undefined && leaves !== undefined) {
    const bytes = trailerAt(input, sealedBytes, trailer.bytes);
    const summary = summaryOf(treeOf(leaves), plaintextBytes);
    if (bytes === undefined || !holds(trailer, summary, bytes)) return false;
  }
  // Bytes after its end make a message bad, even those added while it was read.
  return fstatSync(input.fd).size === size;
}

/** Does the work in as many threads as are asked for; returns the earliest failure, if any. */
async function inThreads(work: Work, options: ParallelOptions): Promise<Failure | undefined> {
  if (work.count === 0) return undefined;
  const { onProgress } = options;
  const tell = (): void => {
    onProgress?.(bytesDone(work));
  };
  const timer = onProgress === undefined ? undefined : setInterval(tell, 100);
  try {
    const others = Array.from({ length: options.threads - 1 }, () => inThread(work));
    const ends = await Promise.allSettled([...others, inThisThread(work)]);
    return firstOf(ends);
  } finally {
    clearInterval(timer);
  }
}

/** Begins at once, while other threads are still starting, and lets signal handlers run. */
async function inThisThread(work: Work): Promise<Failure | undefined> {
  const steps = workOn(work);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await setImmediate();
  }
}

/** The failure at the earliest segment; rethrows an error that threads did not expect. */
function firstOf(ends: readonly PromiseSettledResult<Failure | undefined>[]): Failure | undefined {
  let failure: Failure | undefined;
  for (const end of ends) {
    if (end.status === "rejected") throw end.reason;
    const { value } = end;
    if (value !== undefined && (failure === undefined || value.first < failure.first)) {
      failure = value;
    }
  }
  return failure;
}

/** Settles only when the thread is gone, so nothing writes to a file that has been given up. */
function inThread(work: Work): Promise<Failure | undefined> {
  return new Promise((resolve, reject) => {
    let failure: Failure | undefined;
    let broken: Error | undefined;
    let ended = false;
    let worker: Worker;
    try {
      worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: work });
    } catch {
      // The system has no more threads. This one took no segment; the others do them all.
      resolve(undefined);
      return;
    }
    worker.once("message", (message: Failure | null) => {
      failure = message ?? undefined;
      ended = true;
    });
    worker.once("error", (error) => {
      stop(work);
      broken = error;
    });
    worker.once("exit", () => {
      if (broken === undefined && !ended) {
        stop(work);
        broken = new Error("a thread ended before its work did");
      }
      if (broken === undefined) resolve(failure);
      else reject(broken);
    });
  });
}

/** Turns a fault of the system into the error that callers know. */
async function asFileFailure<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const fault = faultOf(error);
    if (fault.kind === "not authentic") throw error;
    throw new FileFailure(fault.kind, fault.code);
  }
}

function treeOf(leaves: SharedArrayBuffer): MerkleTree {
  const tree = new MerkleTree();
  for (let at = 0; at < leaves.byteLength; at += 32) {
    tree.add(new Uint8Array(leaves, at, 32).slice());
  }
  return tree;
}

function summaryOf(tree: MerkleTree, plaintextBytes: number): BodySummary {
  return { root: tree.root(), plaintextBytes, segments: tree.count };
}

function trailerAt(input: Region, position: number, length: number): Uint8Array | undefined {
  try {
    const trailer = readUpTo(input, position, Buffer.alloc(length));
    return trailer.length === length ? trailer : undefined;
  } catch {
    return undefined; // The stream path will fail to read it too, and report why.
  }
}

function holds(trailer: ExpectedTrailer, summary: BodySummary, bytes: Uint8Array): boolean {
  try {
    trailer.check(summary, bytes);
    return true;
  } catch (error) {
    if (error instanceof AuthenticationError) return false;
    throw error;
  }
}
