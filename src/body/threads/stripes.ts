/**
 * Segments of a file sealed or opened out of order, by threads that share nothing but a few
 * counters: each thread takes the next few segments, reads them at their position, and writes the
 * results at theirs. `segments.ts` seals or opens a segment, as on the stream path.
 */
import { readSync, writevSync } from "node:fs";
import {
  cipherFrom,
  segmentBytesOf,
  openSegment,
  overheadOf,
  sealSegment,
  type Segment,
  type SegmentCipher,
  type SegmentCipherState,
} from "../segments.js";
import { AuthenticationError } from "../../errors.js";
import { keepFreedMemory, release } from "./release.js";

/** What each thread that works on a body is given. */
export interface Work {
  readonly kind: "seal" | "open";
  readonly cipher: SegmentCipherState;
  readonly input: Region;
  readonly output: Region;
  /** Of all these segments together. */
  readonly plaintextBytes: number;
  /** How many segments to do, from the message's first on. */
  readonly count: number;
  /** Whether the last of them is the message's last. */
  readonly final: boolean;
  /** Room for one 32-byte leaf per segment, for the sender's trailer. */
  readonly leaves?: SharedArrayBuffer;
  /** From `sharedState`. */
  readonly shared: SharedArrayBuffer;
}

/** A file descriptor, and where in the file the first segment's bytes lie. */
export interface Region {
  readonly fd: number;
  readonly offset: number;
}

/**
 * Why work failed: a segment is not authentic (the stream path reports which one, and why), or the
 * system refused a read or a write.
 */
export type Fault =
  { readonly kind: "not authentic" } | { readonly kind: "read" | "write"; readonly code: string };

/** A thread's fault, and the first segment of the batch in which it came. */
export type Failure = Fault & { readonly first: number };

/** The memory that threads share: three 32-bit numbers. */
export function sharedState(): SharedArrayBuffer {
  return new SharedArrayBuffer(12);
}

/** About how many bytes of plaintext are done. */
export function bytesDone(work: Work): number {
  const batches = Atomics.load(new Int32Array(work.shared), DONE);
  const segmentBytes = segmentBytesOf(work.cipher);
  return Math.min(batches * segmentsPerBatch(segmentBytes) * segmentBytes, work.plaintextBytes);
}

/**
 * Makes the threads stop after their current batches. Batches are taken in order, so every segment
 * before a failed one has been taken and will be finished: the earliest failure is the one that the
 * stream path would meet.
 */
export function stop(work: Work): void {
  Atomics.store(new Int32Array(work.shared), STOPPED, 1);
}

/**
 * Works until nothing is left or something fails. Runs in any thread and blocks it, except at each
 * `yield`, which comes about every millisecond.
 */
export function* workOn(work: Work): Generator<void, Failure | undefined> {
  keepFreedMemory();
  const state = new Int32Array(work.shared);
  const cipher = cipherFrom(work.cipher);
  const { count } = work;
  const perBatch = segmentsPerBatch(cipher.segmentBytes);
  const buffer = Buffer.allocUnsafeSlow(perBatch * cipher.segmentBytes);
  while (Atomics.load(state, STOPPED) === 0) {
    const first = Atomics.add(state, NEXT, 1) * perBatch;
    if (first >= count) return undefined;
    try {
      workOnBatch(work, cipher, buffer, { first, end: Math.min(first + perBatch, count), count });
    } catch (error) {
      stop(work);
      return { ...faultOf(error), first };
    }
    Atomics.add(state, DONE, 1);
    yield;
  }
  return undefined;
}

function segmentsPerBatch(segmentBytes: number): number {
  return Math.max(1, Math.floor(BATCH_BYTES / segmentBytes));
}

/** Segments `first` to `end - 1` of `count`. */
interface Batch {
  readonly first: number;
  readonly end: number;
  readonly count: number;
}

function workOnBatch(work: Work, cipher: SegmentCipher, buffer: Buffer, batch: Batch): void {
  const { first, end, count } = batch;
  const { segmentBytes, plaintextBytes } = cipher;
  const sealedBytes = work.plaintextBytes + count * overheadOf(cipher);
  const way =
    work.kind === "seal"
      ? { step: sealSegment, from: plaintextBytes, of: work.plaintextBytes, to: segmentBytes }
      : { step: openSegment, from: segmentBytes, of: sealedBytes, to: plaintextBytes };
  const length = Math.min(end * way.from, way.of) - first * way.from;
  const read = readAt(work.input, first * way.from, buffer.subarray(0, length));
  const results: Uint8Array[] = [];
  for (let index = first; index < end; index++) {
    const start = (index - first) * way.from;
    const bytes = read.subarray(start, start + way.from);
    const { parts, leaf } = way.step(cipher, segmentOf(work, index, count, bytes));
    keepLeaf(work, index, leaf);
    results.push(...parts);
  }
  writeAt(work.output, first * way.to, results);
  release(results);
}

function segmentOf(work: Work, index: number, count: number, bytes: Uint8Array): Segment {
  return {
    index,
    final: work.final && index === count - 1,
    bytes,
    hashed: work.leaves !== undefined,
  };
}

function keepLeaf(work: Work, index: number, leaf: Uint8Array | undefined): void {
  if (work.leaves === undefined || leaf === undefined) return;
  new Uint8Array(work.leaves, index * 32, 32).set(leaf);
}

class SystemFailure extends Error {
  readonly fault: Fault;

  constructor(kind: "read" | "write", code: string | undefined) {
    super(kind);
    this.fault = { kind, code: code ?? "EIO" };
  }
}

/** The fault behind an error; rethrows one that is neither the system's nor the message's. */
export function faultOf(error: unknown): Fault {
  if (error instanceof SystemFailure) return error.fault;
  if (error instanceof AuthenticationError) return { kind: "not authentic" };
  throw error;
}

function readAt(region: Region, position: number, into: Buffer): Buffer {
  if (readUpTo(region, position, into).length === into.length) return into;
  throw shorter();
}

/** The file got shorter while it was read. */
export function shorter(): Error {
  return new SystemFailure("read", "ESTALE");
}

/** Fills `into` from `position` on; returns the part that was filled before the file ended. */
export function readUpTo({ fd, offset }: Region, position: number, into: Buffer): Buffer {
  let filled = 0;
  while (filled < into.length) {
    const read = system("read", () =>
      readSync(fd, into, filled, into.length - filled, offset + position + filled),
    );
    if (read === 0) break;
    filled += read;
  }
  return into.subarray(0, filled);
}

export function writeAt(
  { fd, offset }: Region,
  position: number,
  parts: readonly Uint8Array[],
): void {
  const written = system("write", () => writevSync(fd, parts, offset + position));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (written === length) return;
  // The system took only a part: write the rest until it is taken or refused.
  const rest = Buffer.concat(parts, length).subarray(written);
  for (let done = 0; done < rest.length;) {
    done += system("write", () =>
      writevSync(fd, [rest.subarray(done)], offset + position + written + done),
    );
  }
}

function system<T>(kind: "read" | "write", run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new SystemFailure(kind, (error as { code?: string }).code);
  }
}

/** Indices into the shared numbers: batches taken, batches done, and whether to stop. */
const NEXT = 0;
const DONE = 1;
const STOPPED = 2;

/**
 * A thread takes about this many bytes at once, with one read and one write: no more than a
 * processor's cache holds, and enough for system calls not to matter.
 */
const BATCH_BYTES = 256 * 1024;
