/**
 * A message's body sealed or opened from file to file by several threads: the same bytes as on the
 * stream path (`envelope/native/body.ts`), sooner. It only ever succeeds or steps back: whatever is
 * wrong with a message is found and told by the stream path, so that there is one place that says
 * what a bad message is.
 */
import { fstatSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { FLOE_HEADER_BYTES, type SegmentCipher } from "../floe.js";
import { MerkleTree } from "../merkle.js";
import { layoutOf, segmentCount } from "../segments.js";
import type { TrailerCheck, TrailerSigning } from "../../envelope/native/body.js";
import {
  signBody,
  TRAILER_BYTES,
  verifyBody,
  type BodySummary,
} from "../../envelope/native/signature.js";
import { AuthenticationError } from "../../errors.js";
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
  /** At least one. */
  readonly threads: number;
  /** Called now and then with the bytes of plaintext done so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** What a body on disk needs besides its segments. */
export interface SmallWrites {
  /** Writes a few bytes at an absolute position of the output. */
  write(bytes: Uint8Array, position: number): Promise<void>;
}

/**
 * Seals the whole file at `input` as a message's body: FLOE header, segments and trailer, from
 * `output.offset` on. What is added to the file meanwhile is sealed too, as a stream would be read to
 * its end.
 *
 * @throws FileFailure
 */
export async function sealFile(
  input: { readonly fd: number },
  output: Region & SmallWrites,
  begun: {
    readonly floeHeader: Uint8Array;
    readonly segments: SegmentCipher;
    readonly signing: TrailerSigning | undefined;
  },
  options: ParallelOptions,
): Promise<void> {
  const { floeHeader, segments, signing } = begun;
  const { size } = fstatSync(input.fd);
  // All but the last: which one that is shows when they are done.
  const count = segmentCount(size, segments.segmentBytes) - 1;
  const leaves = signing === undefined ? undefined : new SharedArrayBuffer(32 * count);
  const plaintext = { fd: input.fd, offset: 0 };
  const body = { fd: output.fd, offset: output.offset + FLOE_HEADER_BYTES };
  await output.write(floeHeader, output.offset);
  const failure = await inThreads(
    {
      kind: "seal",
      cipher: segments.exportState(),
      input: plaintext,
      output: body,
      ...{ plaintextBytes: count * segments.plaintextBytes, count, final: false },
      ...(leaves === undefined ? {} : { leaves }),
      shared: sharedState(),
    },
    options,
  );
  if (failure !== undefined && failure.kind !== "not authentic") {
    throw new FileFailure(failure.kind, failure.code);
  }
  const tree = treeOf(leaves);
  const { plaintextBytes, sealedBytes } = await told(
    sealTail(plaintext, body, segments, {
      ...{ first: count, size },
      ...(signing === undefined ? {} : { tree }),
    }),
  );
  if (signing !== undefined) {
    const { oneTimeKey, immutablePart } = signing;
    const summary = summaryOf(tree, { immutablePart, floeHeader, plaintextBytes });
    await output.write(signBody(oneTimeKey, summary), body.offset + sealedBytes);
  }
}

/**
 * Opens the body whose segments begin at `input.offset` and end, with the trailer if there is one, at
 * the end of the file.
 *
 * @returns false when the body is not authentic, can't be read, or changed its length meanwhile: the
 * output is then to be thrown away, and the message to be read as a stream, for the reason
 * @throws FileFailure
 */
export async function openFile(
  input: Region,
  output: Region,
  begun: {
    readonly floeHeader: Uint8Array;
    readonly segments: SegmentCipher;
    readonly check: TrailerCheck | undefined;
  },
  options: ParallelOptions,
): Promise<boolean> {
  const { floeHeader, segments, check } = begun;
  const { size } = fstatSync(input.fd);
  const sealedBytes = size - input.offset - (check === undefined ? 0 : TRAILER_BYTES);
  const layout = layoutOf(sealedBytes, segments.segmentBytes);
  if (layout === undefined) return false;
  const { plaintextBytes, count } = layout;
  const leaves = check === undefined ? undefined : new SharedArrayBuffer(32 * count);
  const failure = await inThreads(
    {
      kind: "open",
      cipher: segments.exportState(),
      input: { fd: input.fd, offset: input.offset },
      output: { fd: output.fd, offset: output.offset },
      ...{ plaintextBytes, count, final: true },
      ...(leaves === undefined ? {} : { leaves }),
      shared: sharedState(),
    },
    options,
  );
  if (failure?.kind === "write") throw new FileFailure(failure.kind, failure.code);
  if (failure !== undefined) return false;
  if (check !== undefined) {
    const { immutablePart } = check;
    const body = summaryOf(treeOf(leaves), { immutablePart, floeHeader, plaintextBytes });
    const trailer = trailerAt(input, sealedBytes);
    if (trailer === undefined || !holds(check, body, trailer)) return false;
  }
  // Something after its end makes a message bad, also when it comes late.
  return fstatSync(input.fd).size === size;
}

/** Runs the work in as many threads as are asked for; the first failure, if any. */
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

/** Begins at once, where another thread takes its time to start, and leaves room for signals. */
async function inThisThread(work: Work): Promise<Failure | undefined> {
  const steps = workOn(work);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await setImmediate();
  }
}

/** The failure at the earliest segment; what threads did not expect is thrown. */
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

/** Settles only once the thread is gone, so that nobody writes to a file that was given up. */
function inThread(work: Work): Promise<Failure | undefined> {
  return new Promise((resolve, reject) => {
    let failure: Failure | undefined;
    let broken: Error | undefined;
    let ended = false;
    let worker: Worker;
    try {
      worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: work });
    } catch {
      // No more threads are to be had, and nothing was taken: those that there are do it.
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

/** A fault of the system's, as others know it. */
async function told<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const fault = faultOf(error);
    if (fault.kind === "not authentic") throw error;
    throw new FileFailure(fault.kind, fault.code);
  }
}

function treeOf(leaves = new SharedArrayBuffer(0)): MerkleTree {
  const tree = new MerkleTree();
  for (let at = 0; at < leaves.byteLength; at += 32)
    tree.add(new Uint8Array(leaves, at, 32).slice());
  return tree;
}

function summaryOf(
  tree: MerkleTree,
  rest: Pick<BodySummary, "immutablePart" | "floeHeader" | "plaintextBytes">,
): BodySummary {
  return { ...rest, root: tree.root(), segments: tree.count };
}

function trailerAt(input: Region, position: number): Uint8Array | undefined {
  try {
    const trailer = readUpTo(input, position, Buffer.alloc(TRAILER_BYTES));
    return trailer.length === TRAILER_BYTES ? trailer : undefined;
  } catch {
    return undefined; // The stream will not be able to read it either, and say why.
  }
}

function holds(check: TrailerCheck, body: BodySummary, trailer: Uint8Array): boolean {
  try {
    verifyBody(check.oneTimeKey, body, trailer);
    return true;
  } catch (error) {
    if (error instanceof AuthenticationError) return false;
    throw error;
  }
}
