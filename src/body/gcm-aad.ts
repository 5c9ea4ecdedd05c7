/**
 * AES-GCM (SP 800-38D) where the associated data comes after the ciphertext, as in CMS: GCM wants
 * it first. What it adds to the tag can be worked out afterwards, as GHASH is linear: the
 * ciphertext's part of the sum is the same whatever stands before it. So a message of any length is
 * read once, and nothing of it is kept.
 *
 * The arithmetic in GF(2^128) takes the same steps whatever the numbers are.
 */
import { createCipheriv } from "node:crypto";
import { concat, u64 } from "../bytes.js";

/**
 * The tag that the same ciphertext would have without associated data.
 *
 * @param tag - 16 bytes, as sent
 * @param ciphertextBytes - how long the ciphertext is
 */
export function tagWithoutAad(
  key: Uint8Array,
  tag: Uint8Array,
  aad: Uint8Array,
  ciphertextBytes: number,
): Uint8Array {
  const h = blockOf(hashKey(key));
  // Σ A_i H^(m-i), by Horner's rule (§6.4); then past the ciphertext's blocks and the lengths'.
  let sum: Block = ZERO;
  for (let at = 0; at < aad.length; at += BLOCK_BYTES) {
    const block = new Uint8Array(BLOCK_BYTES);
    block.set(aad.subarray(at, at + BLOCK_BYTES));
    sum = times(xor(sum, blockOf(block)), h);
  }
  const blocks = Math.ceil(ciphertextBytes / BLOCK_BYTES);
  const moved = times(times(sum, power(h, blocks)), h);
  const lengths = times(blockOf(concat(u64(aad.length * 8), new Uint8Array(8))), h);
  return bytesOf(xor(xor(blockOf(tag), moved), lengths));
}

const BLOCK_BYTES = 16;

/** H, the cipher's value of a block of zeros. */
function hashKey(key: Uint8Array): Uint8Array {
  const cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false);
  return concat(cipher.update(new Uint8Array(BLOCK_BYTES)), cipher.final());
}

/** Four words, big-endian. */
type Block = readonly [number, number, number, number];

const ZERO: Block = [0, 0, 0, 0];

function blockOf(bytes: Uint8Array): Block {
  const view = new DataView(bytes.buffer, bytes.byteOffset, BLOCK_BYTES);
  return [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)];
}

function bytesOf(block: Block): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES);
  const view = new DataView(bytes.buffer);
  block.forEach((word, i) => {
    view.setUint32(4 * i, word);
  });
  return bytes;
}

function xor(a: Block, b: Block): Block {
  return [a[0] ^ b[0], a[1] ^ b[1], a[2] ^ b[2], a[3] ^ b[3]];
}

/** The product of two blocks (§6.3, algorithm 1). */
function times(x: Block, y: Block): Block {
  let z: Block = ZERO;
  let v: Block = y;
  for (let i = 0; i < 8 * BLOCK_BYTES; i++) {
    const bit = -(((x[i >>> 5] as number) >>> (31 - (i & 31))) & 1);
    z = xor(z, [v[0] & bit, v[1] & bit, v[2] & bit, v[3] & bit]);
    const carry = -(v[3] & 1);
    v = [
      (v[0] >>> 1) ^ (0xe1000000 & carry),
      (v[1] >>> 1) | (v[0] << 31),
      (v[2] >>> 1) | (v[1] << 31),
      (v[3] >>> 1) | (v[2] << 31),
    ];
  }
  return z;
}

/** `base` to a power that is no secret. */
function power(base: Block, exponent: number): Block {
  // The block that stands for 1: bits are numbered from the left.
  let result: Block = [0x80000000, 0, 0, 0];
  for (let square = base, left = exponent; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result = times(result, square);
    square = times(square, square);
  }
  return result;
}
