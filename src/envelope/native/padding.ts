/**
 * EXT 8002: zeros that bring a header to a multiple of 4,096 bytes (docs/format.md §6.2). The body
 * then keeps its place in the file when the header is replaced.
 */
import { malformed } from "./malformed.js";

/** The block's type: readers that don't know it skip it. */
const PADDING = 0x8002;
/** A padded header has a multiple of so many bytes. */
const PAD_MULTIPLE = 4096;
/** `type u16 ‖ bodyLen u32`: the shortest padding. */
const BLOCK_HEAD_BYTES = 6;

/** An extension block, as `header.ts` has it. */
interface Block {
  readonly type: number;
  readonly body: Uint8Array;
}

/**
 * Refuses padding that carries anything, or that something follows.
 *
 * @throws AuthenticationError `ERR_HEADER`
 */
export function requireBlankPadding(blocks: readonly Block[]): void {
  const at = blocks.findIndex(({ type }) => type === PADDING);
  if (at === -1) return;
  if (at !== blocks.length - 1) throw malformed("an extension follows the padding");
  if (blocks[at]?.body.some((byte) => byte !== 0)) throw malformed("padding that is not zero");
}

export function withoutPadding<B extends Block>(blocks: readonly B[]): B[] {
  return blocks.filter(({ type }) => type !== PADDING);
}

/** The header to be padded. */
export interface Unpadded {
  /** Bytes of the whole header with these blocks. */
  readonly headerBytes: number;
  /** Bytes that EXT has left. */
  readonly room: number;
  /** The size to reach, if that can be: of the header that is replaced. */
  readonly preferredBytes?: number;
}

/** The blocks with padding after them, where any is needed and EXT has room for it. */
export function padded<B extends Block>(
  blocks: readonly B[],
  { headerBytes, room, preferredBytes = 0 }: Unpadded,
): readonly (B | Block)[] {
  const next = Math.ceil(headerBytes / PAD_MULTIPLE) * PAD_MULTIPLE;
  const targets = [next, next + PAD_MULTIPLE];
  if (preferredBytes % PAD_MULTIPLE === 0) targets.unshift(preferredBytes);
  for (const target of targets) {
    const gap = target - headerBytes;
    if (gap === 0) return blocks;
    if (gap < BLOCK_HEAD_BYTES || gap > room) continue;
    return [...blocks, { type: PADDING, body: new Uint8Array(gap - BLOCK_HEAD_BYTES) }];
  }
  return blocks;
}
