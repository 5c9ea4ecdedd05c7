/**
 * Segments of a file sealed or opened out of order, by several threads that share nothing but a
 * counter: each takes the next few segments, reads them where they lie, and writes the result where
 * it belongs. What seals or opens a segment is `body/segments.ts`, as on the stream path.
 */
import { readSync, writevSync } from "node:fs";
import { SEGMENT_OVERHEAD, SegmentCipher, type SegmentCipherState } from "../floe.js";
import { openSegment, sealSegment, type Segment } from "../segments.js";
import { AuthenticationError } from "../../errors.js";
import { keepFreedMemory, release } from "./release.js";

/** What all threads of one piece of work are given. */
export interface Work {
  readonly kind: "seal" | "open";
  readonly cipher: SegmentCipherState;
  readonly input: Region;
  readonly output: Region;
  /** Of all these segments together. */
  readonly plaintextBytes: number;
  /** How many segments there are, from the message's first on. */
  readonly count: number;
  /** The last of them is the message's last. */
  readonly final: boolean;
  /** Room for one 32-byte leaf per segment, for the sender's trailer. */
  readonly leaves?: SharedArrayBuffer;
  readonly shared: SharedArrayBuffer;
}

/** A file descriptor, and where in the file the first segment's bytes lie. */
export interface Region {
  readonly fd: number;
  readonly offset: number;
}

/**
 * How work ended badly: a segment is not authentic (the stream path says which, and how), or the
 * system refused a read or write.
 */
export type Fault =
  { readonly kind: "not authentic" } | { readonly kind: "read" | "write"; readonly code: string };

/** A thread's fault, and in which of the segments. */
export type Failure = Fault & { readonly first: number };

/** What threads share: three 32-bit numbers. */
export function sharedState(): SharedArrayBuffer {
  return new SharedArrayBuffer(12);
}

/** Bytes of plaintext that are done, about. */
export function bytesDone(work: Work): number {
  const batches = Atomics.load(new Int32Array(work.shared), DONE);
  const { segmentBytes } = work.cipher.parameters;
  return Math.min(batches * segmentsPerBatch(segmentBytes) * segmentBytes, work.plaintextBytes);
}

/**
 * Has the threads stop after what they have in hand. Segments are taken in their order, so whatever
 * comes before a failed one has been taken, and is done: the earliest failure is the one that the
 * stream path would meet.
 */
export function stop(work: Work): void {
  Atomics.store(new Int32Array(work.shared), STOPPED, 1);
}

/**
 * Works until nothing is left, or something failed; runs in any thread, and blocks it but at each
 * `yield`, which comes every millisecond or so.
 */
export function* workOn(work: Work): Generator<void, Failure | undefined> {
  keepFreedMemory();
  const state = new Int32Array(work.shared);
  const cipher = new SegmentCipher(work.cipher);
  const { count } = work;
  const perBatch = segmentsPerBatch(cipher.segmentBytes);
  const buffer = Buffer.allocUnsafeSlow(perBatch * cipher.segmentBytes);
  const step = work.kind === "seal" ? sealBatch : openBatch;
  while (Atomics.load(state, STOPPED) === 0) {
    const first = Atomics.add(state, NEXT, 1) * perBatch;
    if (first >= count) return undefined;
    try {
      step(work, cipher, buffer, { first, end: Math.min(first + perBatch, count), count });
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

function sealBatch(work: Work, cipher: SegmentCipher, buffer: Buffer, batch: Batch): void {
  const { first, end, count } = batch;
  const from = first * cipher.plaintextBytes;
  const to = Math.min(end * cipher.plaintextBytes, work.plaintextBytes);
  const plaintext = readAt(work.input, from, buffer.subarray(0, to - from));
  const sealed: Uint8Array[] = [];
  for (let index = first; index < end; index++) {
    const start = (index - first) * cipher.plaintextBytes;
    const bytes = plaintext.subarray(start, start + cipher.plaintextBytes);
    const { parts, leaf } = sealSegment(cipher, segmentOf(work, index, count, bytes));
    keepLeaf(work, index, leaf);
    sealed.push(...parts);
  }
  writeAt(work.output, first * cipher.segmentBytes, sealed);
  for (const part of sealed) if (part.length > SMALL_BYTES) release(part);
}

function openBatch(work: Work, cipher: SegmentCipher, buffer: Buffer, batch: Batch): void {
  const { first, end, count } = batch;
  const from = first * cipher.segmentBytes;
  const sealedBytes = work.plaintextBytes + count * SEGMENT_OVERHEAD;
  const to = Math.min(end * cipher.segmentBytes, sealedBytes);
  const sealed = readAt(work.input, from, buffer.subarray(0, to - from));
  const opened: Uint8Array[] = [];
  for (let index = first; index < end; index++) {
    const start = (index - first) * cipher.segmentBytes;
    const bytes = sealed.subarray(start, start + cipher.segmentBytes);
    const { parts, leaf } = openSegment(cipher, segmentOf(work, index, count, bytes));
    keepLeaf(work, index, leaf);
    opened.push(...parts);
  }
  writeAt(work.output, first * cipher.plaintextBytes, opened);
  for (const part of opened) if (part.length > SMALL_BYTES) release(part);
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

/** @throws what is neither the system's fault nor the message's */
export function faultOf(error: unknown): Fault {
  if (error instanceof SystemFailure) return error.fault;
  if (error instanceof AuthenticationError) return { kind: "not authentic" };
  throw error;
}

function readAt(region: Region, position: number, into: Buffer): Buffer {
  if (readUpTo(region, position, into).length === into.length) return into;
  throw shorter();
}

/** Somebody made the file shorter meanwhile. */
export function shorter(): Error {
  return new SystemFailure("read", "ESTALE");
}

/** As much of `into` as the file has at `position`. */
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
  // The system took a part: what is left, until it is taken or refused.
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

/** Indices into what threads share. */
const NEXT = 0;
const DONE = 1;
const STOPPED = 2;

/**
 * What a thread takes at once, one read and one write of about this many bytes: as much as the cache
 * of one processor holds, and enough that system calls don't matter.
 */
const BATCH_BYTES = 256 * 1024;

/** Prefixes, tags, and what else is not worth freeing early. */
const SMALL_BYTES = 4096;
