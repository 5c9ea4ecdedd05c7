/**
 * The Merkle tree hash of RFC 6962 §2.1 over a body's segments, computed as they pass. A leaf is
 * SHA-256(00 ‖ segment), a node SHA-256(01 ‖ left ‖ right). The signature at the end of a
 * signed message covers the root.
 *
 * Leaves can be hashed on any thread, in any order. `add` takes them in order and keeps one hash
 * for each bit of the count, so memory does not grow.
 */
import { createHash } from "node:crypto";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

/** The leaf, 32 bytes, of a segment given in parts. */
export function leafHash(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha256").update(LEAF);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

export class MerkleTree {
  /** Roots of complete subtrees, largest first; their sizes are the set bits of `#count`. */
  readonly #subtrees: Uint8Array[] = [];
  #count = 0;

  /** Leaves so far. */
  get count(): number {
    return this.#count;
  }

  add(leaf: Uint8Array): void {
    let node = leaf;
    // As in adding one to a binary number, every trailing 1 is a subtree to merge with.
    for (let size = this.#count; size % 2 === 1; size = Math.floor(size / 2)) {
      node = nodeHash(this.#subtrees.pop() as Uint8Array, node);
    }
    this.#subtrees.push(node);
    this.#count++;
  }

  /** The root, 32 bytes. There is at least one leaf, since every body has a segment. */
  root(): Uint8Array {
    return this.#subtrees.reduceRight((right, left) => nodeHash(left, right));
  }
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return createHash("sha256").update(NODE).update(left).update(right).digest();
}
