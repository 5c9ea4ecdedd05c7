/**
 * Segments: the pieces of a body that are sealed and opened apart from one another. `sealSegment`
 * and `openSegment` are what every path does to a segment: the stream's, the threads', file to
 * file.
 */
import { CHUNK_SIZES, ChunkCipher, type ChunkState } from "./chunks.js";
import { FloeCipher, type FloeState } from "./floe.js";
import { leafHash } from "./merkle.js";

/** How long the segments of a message are; all but the last are full. */
export interface SegmentSizes {
  /** Bytes of a full segment, sealed. */
  readonly segmentBytes: number;
  /** Bytes of plaintext in a full segment. */
  readonly plaintextBytes: number;
}

/** Seals and opens the segments of one message, each by its position and in any order. */
export interface SegmentCipher extends SegmentSizes {
  /** The sealed segment in parts, so that nothing is copied. `plaintext` is full unless `final`. */
  seal(index: number, final: boolean, plaintext: Uint8Array): readonly Uint8Array[];
  /** @throws AuthenticationError `ERR_SEGMENT` */
  open(index: number, final: boolean, segment: Uint8Array): Uint8Array;
  /** What `cipherFrom` makes the same cipher of, in another thread. Holds a key. */
  exportState(): SegmentCipherState;
}

/** Plain values. Holds a key. */
export type SegmentCipherState = FloeState | ChunkState;

/** The cipher whose state this is. */
export function cipherFrom(state: SegmentCipherState): SegmentCipher {
  return state.kind === "floe" ? new FloeCipher(state) : new ChunkCipher(state);
}

/** How long its full segments are, sealed. */
export function segmentBytesOf(state: SegmentCipherState): number {
  return state.kind === "floe" ? state.parameters.segmentBytes : CHUNK_SIZES.segmentBytes;
}

/** One segment: of plaintext to seal, or sealed, to open. */
export interface Segment {
  readonly index: number;
  /** It is the message's last. */
  readonly final: boolean;
  /** Starts where a buffer from `SegmentWork.room` starts. */
  readonly bytes: Uint8Array;
  /** Its leaf of the Merkle tree is wanted, for the sender's trailer. */
  readonly hashed: boolean;
}

/** A segment that was sealed or opened. */
export interface SegmentDone {
  /** A sealed segment, in one or several parts; or the plaintext of an opened one. */
  readonly parts: readonly Uint8Array[];
  /** Length of all parts together. */
  readonly bytes: number;
  /** SHA-256 leaf of the sealed segment, 32 bytes; present where `hashed` asked for it. */
  readonly leaf?: Uint8Array;
}

/** A segment that was sealed or opened, and written to the output, by another thread. */
export type SegmentDelivered = Omit<SegmentDone, "parts">;

/** Called once for each delivered segment, in the order of segments. */
export type OnDelivered = (segment: SegmentDelivered) => void;

/**
 * Whoever seals or opens the segments of one message; they are asked for in order. `seal` and
 * `open` resolve either to the result, which the caller writes before it asks for the next segment;
 * or to undefined: then the segment will be written elsewhere, and `onDelivered` is called when it
 * was. The last segment always comes back to the caller, once all others are written.
 */
export interface SegmentWork extends SegmentSizes {
  /**
   * Why a segment could not be sealed, opened or written elsewhere. Later results don't count then.
   */
  readonly failure: Error | undefined;
  /** Resolves when every segment asked for is written, or when there is a failure. */
  idle(): Promise<void>;
  /** A buffer for the next segment. The caller holds two at most, besides those being worked on. */
  room(): Uint8Array;
  /** Takes back the buffer of a segment whose result came back to the caller. */
  giveBack(room: Uint8Array): void;
  seal(segment: Segment, onDelivered: OnDelivered): Promise<SegmentDone | undefined>;
  /**
   * @throws AuthenticationError `ERR_SEGMENT`: this segment, or an earlier one, is not authentic
   */
  open(segment: Segment, onDelivered: OnDelivered): Promise<SegmentDone | undefined>;
}

/** Bytes by which a segment is longer than its plaintext. */
export function overheadOf({ segmentBytes, plaintextBytes }: SegmentSizes): number {
  return segmentBytes - plaintextBytes;
}

/** How many segments a plaintext has: at least one, and an empty one only for an empty message. */
export function segmentCount(plaintextBytes: number, sizes: SegmentSizes): number {
  return Math.max(1, Math.ceil(plaintextBytes / sizes.plaintextBytes));
}

/**
 * How much plaintext `sealedBytes` of segments hold, and in how many segments. Undefined for a
 * length that no message has: the body was cut, or something follows it.
 */
export function layoutOf(
  sealedBytes: number,
  sizes: SegmentSizes,
): { readonly plaintextBytes: number; readonly count: number } | undefined {
  const count = Math.ceil(sealedBytes / sizes.segmentBytes);
  const plaintextBytes = sealedBytes - count * overheadOf(sizes);
  if (plaintextBytes < 0 || count !== segmentCount(plaintextBytes, sizes)) return undefined;
  return { plaintextBytes, count };
}

/** Does the work in the calling thread, one segment after the other. */
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
  const sealed = { parts, bytes: bytes.length + overheadOf(cipher) };
  return hashed ? { ...sealed, leaf: leafHash(...parts) } : sealed;
}

/** @throws AuthenticationError `ERR_SEGMENT` */
export function openSegment(cipher: SegmentCipher, segment: Segment): SegmentDone {
  const { index, final, bytes, hashed } = segment;
  const opened = {
    parts: [cipher.open(index, final, bytes)],
    bytes: bytes.length - overheadOf(cipher),
  };
  return hashed ? { ...opened, leaf: leafHash(bytes) } : opened;
}

async function settled<T>(run: () => T): Promise<T> {
  return Promise.resolve(run());
}
