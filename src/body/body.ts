/**
 * The body of a message: everything after its header, in one of two shapes. In *segments*, each of
 * which is sealed and opened by itself, so that threads can share them; or as one *stream*, for
 * formats that can't be cut. An envelope says which; whoever moves the bytes needs to know no more.
 */
import type { Reader } from "../stream.js";
import { oneByOne } from "./segments.js";
import {
  openSegments,
  sealSegments,
  type BodyChunk,
  type SegmentsToOpen,
  type SegmentsToSeal,
} from "./segment-stream.js";

/** What comes after a header that was made. */
export type BodyToSeal = SegmentsToSeal | StreamToSeal;
/** What comes after a header that is authentic. */
export type BodyToOpen = SegmentsToOpen | StreamToOpen;

export interface StreamToSeal {
  readonly kind: "stream";
  /** The sealed body, as it is made; reads `plaintext` to its end. */
  seal(plaintext: Reader): AsyncIterable<Uint8Array>;
}

export interface StreamToOpen {
  readonly kind: "stream";
  /**
   * The plaintext. Each chunk is authentic, and the stream ends only after the whole body was
   * checked, and that nothing follows it; otherwise it throws.
   */
  open(sealed: Reader): AsyncIterable<Uint8Array>;
}

/** A sealed body, made in the calling thread as it is read. Closes `plaintext`. */
export function sealBody(body: BodyToSeal, plaintext: Reader): AsyncIterable<Uint8Array> {
  const chunks =
    body.kind === "segments"
      ? sealSegments(body, oneByOne(body.cipher), plaintext)
      : sealStream(body, plaintext);
  return partsOf(chunks);
}

/**
 * The plaintext of the body that `sealed` has next, opened in the calling thread. Closes `sealed`.
 */
export function openBody(body: BodyToOpen, sealed: Reader): AsyncIterable<Uint8Array> {
  const chunks =
    body.kind === "segments"
      ? openSegments(body, oneByOne(body.cipher), sealed)
      : openStream(body, sealed);
  return partsOf(chunks);
}

/** As `sealSegments`, for a body that is one stream. */
export async function* sealStream(
  body: StreamToSeal,
  plaintext: Reader,
): AsyncGenerator<BodyChunk, void, undefined> {
  try {
    for await (const bytes of body.seal(plaintext)) yield chunkOf(bytes);
  } finally {
    await plaintext.close();
  }
}

/**
 * As `openSegments`, for a body that is one stream: its last chunk is held back until the stream
 * has ended, and so the whole body was checked, and `beforeLast` has run.
 */
export async function* openStream(
  body: StreamToOpen,
  sealed: Reader,
  beforeLast?: () => Promise<void>,
): AsyncGenerator<BodyChunk, void, undefined> {
  try {
    let last: Uint8Array | undefined;
    for await (const bytes of body.open(sealed)) {
      if (last !== undefined) yield chunkOf(last);
      last = bytes;
    }
    await beforeLast?.();
    if (last !== undefined) yield chunkOf(last);
  } finally {
    await sealed.close();
  }
}

function chunkOf(bytes: Uint8Array): BodyChunk {
  return { parts: [bytes], bytes: bytes.length };
}

async function* partsOf(
  chunks: AsyncIterable<BodyChunk>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { parts } of chunks) yield* parts;
}
