/**
 * Segments sealed and opened as work: a segment in, its parts and its leaf out. `sealSegment` and
 * `openSegment` are what every path does to a segment: the stream's, the threads', file to file.
 */
import { SEGMENT_OVERHEAD, type SegmentCipher } from "./floe.js";
import { leafHash } from "./merkle.js";

/** One segment: of plaintext to seal, or sealed, to open. */
export interface Segment {
  readonly index: number;
  /** It is the last one. */
  readonly final: boolean;
  /** From the start of a room that the work lent. */
  readonly bytes: Uint8Array;
  /** Wants its leaf of the Merkle tree, for the sender's trailer. */
  readonly hashed: boolean;
}

/** What became of a segment. */
export interface SegmentDone {
  /** A sealed segment, in one or several parts; or the plaintext of an opened one. */
  readonly parts: readonly Uint8Array[];
  /** How many bytes these are. */
  readonly bytes: number;
  /** Of the sealed segment, where it was wanted. */
  readonly leaf?: Uint8Array;
}

/** A segment that was delivered where it was done. */
export type SegmentDelivered = Omit<SegmentDone, "parts">;

/**
 * What seals or opens the segments of one message, one asked for after the other. Either it gives back
 * what a segment became, to be delivered before the next is asked for; or it gives nothing: the segment
 * will be delivered, and told. The last one it gives back, when all others are delivered.
 */
export interface SegmentWork {
  readonly segmentBytes: number;
  /** Bytes of plaintext in a segment that is not the last. */
  readonly plaintextBytes: number;
  /** Why a segment that was to be delivered was not. Nothing that comes of later ones matters then. */
  readonly failure: Error | undefined;
  /** Resolves when all are delivered that are to be, or there is a failure. */
  idle(): Promise<void>;
  /** Room for a segment that is to be asked for; two are lent at a time, besides those being delivered. */
  room(): Uint8Array;
  /** What was asked for last is dealt with; others may have its room. Not for what is told. */
  giveBack(room: Uint8Array): void;
  seal(segment: Segment, told: Told): Promise<SegmentDone | undefined>;
  /** @throws AuthenticationError `ERR_SEGMENT`: this one, or an earlier one, is not authentic */
  open(segment: Segment, told: Told): Promise<SegmentDone | undefined>;
}

/** Called in the order of segments. */
export type Told = (delivered: SegmentDelivered) => void;

/** How many segments a plaintext has: at least one, and none empty but of an empty message. */
export function segmentCount(plaintextBytes: number, segmentBytes: number): number {
  return Math.max(1, Math.ceil(plaintextBytes / (segmentBytes - SEGMENT_OVERHEAD)));
}

/**
 * What segments of `sealedBytes` together hold, and how many they are; undefined for a length that no
 * plaintext has, of a body that was cut or has something after its end.
 */
export function layoutOf(
  sealedBytes: number,
  segmentBytes: number,
): { readonly plaintextBytes: number; readonly count: number } | undefined {
  const count = Math.ceil(sealedBytes / segmentBytes);
  const plaintextBytes = sealedBytes - count * SEGMENT_OVERHEAD;
  if (plaintextBytes < 0 || count !== segmentCount(plaintextBytes, segmentBytes)) return undefined;
  return { plaintextBytes, count };
}

/** Here and now, one after the other. */
export function oneByOne(cipher: SegmentCipher): SegmentWork {
  const { segmentBytes, plaintextBytes } = cipher;
  const rooms: Uint8Array[] = [];
  return {
    ...{ segmentBytes, plaintextBytes, failure: undefined },
    idle: () => Promise.resolve(),
    room: () => rooms.pop() ?? new Uint8Array(Buffer.allocUnsafeSlow(segmentBytes).buffer),
    giveBack(room) {
      rooms.push(room);
    },
    seal: (segment) => settled(() => sealSegment(cipher, segment)),
    open: (segment) => settled(() => openSegment(cipher, segment)),
  };
}

export function sealSegment(cipher: SegmentCipher, segment: Segment): SegmentDone {
  const { index, final, bytes, hashed } = segment;
  const parts = cipher.seal(index, final, bytes);
  const sealed = { parts, bytes: bytes.length + SEGMENT_OVERHEAD };
  return hashed ? { ...sealed, leaf: leafHash(...parts) } : sealed;
}

/** @throws AuthenticationError `ERR_SEGMENT` */
export function openSegment(cipher: SegmentCipher, segment: Segment): SegmentDone {
  const { index, final, bytes, hashed } = segment;
  const opened = {
    parts: [cipher.open(index, final, bytes)],
    bytes: bytes.length - SEGMENT_OVERHEAD,
  };
  return hashed ? { ...opened, leaf: leafHash(bytes) } : opened;
}

async function settled<T>(run: () => T): Promise<T> {
  return Promise.resolve(run());
}
