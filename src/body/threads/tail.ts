/**
 * The end of a file that is sealed by threads: its last segment, and whatever was added to the file
 * since its size was read. As on the stream path, a segment is the last only if nothing follows it.
 */
import { fstatSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { MerkleTree } from "../merkle.js";
import { sealSegment, type SegmentCipher } from "../segments.js";
import { readUpTo, shorter, writeAt, type Region } from "./stripes.js";

/**
 * Seals from segment `first` to the end of the file, which had `size` bytes when last looked at.
 *
 * @returns the sizes of the whole body, including the segments before `first`
 * @throws `SystemFailure`, which `faultOf` understands
 */
export async function sealTail(
  input: Region,
  output: Region,
  cipher: SegmentCipher,
  tail: {
    readonly first: number;
    readonly size: number;
    /** Gets the segments' leaves; if absent, they are not hashed. */
    readonly tree?: MerkleTree;
  },
): Promise<{ readonly plaintextBytes: number; readonly sealedBytes: number }> {
  const { first, size, tree } = tail;
  const { plaintextBytes: full, segmentBytes } = cipher;
  let current = readUpTo(input, first * full, Buffer.allocUnsafeSlow(full));
  let spare: Buffer = Buffer.allocUnsafeSlow(full);
  for (let index = first; ; index++) {
    const isFull = current.length === full;
    const next = isFull ? readUpTo(input, (index + 1) * full, spare) : spare.subarray(0, 0);
    const final = next.length === 0;
    const plaintextBytes = index * full + current.length;
    const isGone = index > 0 && current.length === 0;
    if (isGone || (final && plaintextBytes < size && fstatSync(input.fd).size < size)) {
      throw shorter();
    }

    const segment = { index, final, bytes: current, hashed: tree !== undefined };
    const { parts, leaf } = sealSegment(cipher, segment);
    if (leaf !== undefined) tree?.add(leaf);
    writeAt(output, index * segmentBytes, parts);
    if (final) {
      const sealed = parts.reduce((sum, { length }) => sum + length, 0);
      return { plaintextBytes, sealedBytes: index * segmentBytes + sealed };
    }
    spare = current;
    current = next;
    await setImmediate(); // Lets signal handlers run.
  }
}
