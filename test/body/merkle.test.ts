import { describe, expect, it } from "@jest/globals";
import { createHash } from "node:crypto";
import { toHex } from "../../src/bytes.js";
import { leafHash, MerkleTree } from "../../src/body/merkle.js";

/** MTH as RFC 6962 §2.1 writes it: recursive, over all entries at once. */
function merkleTreeHash(entries: readonly Uint8Array[]): Buffer {
  const [first] = entries;
  if (first !== undefined && entries.length === 1) return sha256(Uint8Array.of(0), first);
  let k = 1;
  while (2 * k < entries.length) k *= 2;
  const [left, right] = [merkleTreeHash(entries.slice(0, k)), merkleTreeHash(entries.slice(k))];
  return sha256(Uint8Array.of(1), left, right);
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function rootOf(entries: readonly Uint8Array[]): string {
  const tree = new MerkleTree();
  for (const entry of entries) tree.add(leafHash(entry));
  expect(tree.count).toBe(entries.length);
  return toHex(tree.root());
}

const entriesOf = (count: number) =>
  Array.from({ length: count }, (_, i) => Uint8Array.of(i >> 8, i & 0xff, 7));

describe("the Merkle tree over a body", () => {
  it("has RFC 6962's root for every number of segments up to 130, and for 1,000", () => {
    for (let count = 1; count <= 130; count++) {
      expect([count, rootOf(entriesOf(count))]).toEqual([
        count,
        toHex(merkleTreeHash(entriesOf(count))),
      ]);
    }
    expect(rootOf(entriesOf(1000))).toBe(toHex(merkleTreeHash(entriesOf(1000))));
  });

  it("has the roots published with the reference implementation of RFC 6962", () => {
    // certificate-transparency's merkle_tree_test: D[0..7].
    const data = [
      "",
      "00",
      "10",
      "2021",
      "3031",
      "40414243",
      "5051525354555657",
      "606162636465666768696a6b6c6d6e6f",
    ].map((hex) => new Uint8Array(Buffer.from(hex, "hex")));
    expect(rootOf(data.slice(0, 1))).toBe(
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    );
    expect(rootOf(data.slice(0, 2))).toBe(
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    );
    expect(rootOf(data.slice(0, 3))).toBe(
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    );
    expect(rootOf(data)).toBe("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
  });

  it("distinguishes swapped, missing, doubled and joined segments", () => {
    const [a, b, c] = entriesOf(3) as [Uint8Array, Uint8Array, Uint8Array];
    const joined = Buffer.concat([a, b]);
    const roots = [[a, b, c], [b, a, c], [a, b], [a, b, c, c], [joined, c], [a], [b]].map(rootOf);
    expect(new Set(roots).size).toBe(roots.length);
  });

  it("does not take a node for a leaf", () => {
    const [a, b] = entriesOf(2) as [Uint8Array, Uint8Array];
    const node = Buffer.concat([leafHash(a), leafHash(b)]);
    expect(rootOf([node])).not.toBe(rootOf([a, b]));
  });

  it("hashes a segment in parts as it does whole", () => {
    const whole = Uint8Array.from({ length: 50 }, (_, i) => i);
    const parts = [whole.subarray(0, 16), whole.subarray(16, 40), whole.subarray(40)];
    expect(toHex(leafHash(...parts))).toBe(toHex(leafHash(whole)));
  });
});
