/** Parts of a message: the right bytes, nothing else is read, and nothing altered is returned. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { inspectMessage, sealMessage } from "../../src/envelope/messages.js";
import { openRanges, type RandomAccessSource } from "../../src/envelope/ranges.js";
import { counting, identityOf, recipientOf, senderOf } from "../support/identities.js";

const SEG_LOG2 = 12;
const SEGMENT = 2 ** SEG_LOG2;
const FULL = SEGMENT - 32;
const SIZE = 10 * FULL + 123;
const plaintext = Uint8Array.from({ length: SIZE }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
const options = { recipients: [recipientOf("x25519")], segLog2: SEG_LOG2 };
const sealed = await (await sealMessage(plaintext, options)).stream().bytes();
const { headerBytes } = await inspectMessage(sealed);
const bodyAt = headerBytes + 74;
const identities = [identityOf("x25519")];

interface Counted extends RandomAccessSource {
  readonly reads: (readonly [offset: number, length: number])[];
}

function sourceOf(bytes: Uint8Array): Counted {
  const reads: [number, number][] = [];
  return {
    size: bytes.length,
    reads,
    read: (offset, length) => {
      reads.push([offset, length]);
      return Promise.resolve(bytes.subarray(offset, offset + length));
    },
  };
}

const flipped = (at: number): Uint8Array => {
  const copy = sealed.slice();
  copy.set([(copy[at] ?? 0) ^ 1], at);
  return copy;
};
const segmentAt = (index: number): number => bodyAt + index * SEGMENT;
const opened = (bytes: Uint8Array) => openRanges(sourceOf(bytes), { identities });
const refused = (code: string) => expect.objectContaining({ code }) as unknown as Error;

describe("a range of a sealed message", () => {
  it("is what was sealed there, wherever it begins and ends", async () => {
    const ranges = await opened(sealed);
    expect(ranges.size).toBe(SIZE);
    const edges = fc.oneof(
      fc.nat(SIZE),
      fc.constantFrom(0, FULL - 1, FULL, FULL + 1, SIZE - 1, SIZE),
    );
    const property = fc.asyncProperty(edges, edges, async (offset, length) => {
      const part = await ranges.read(offset, length);
      expect(Buffer.compare(part, plaintext.subarray(offset, offset + length))).toBe(0);
    });
    await fc.assert(property, { numRuns: 100 });
  });

  it("is refused for a message in armour, before a key is used", async () => {
    const armor = await (await sealMessage(plaintext, options)).armored().bytes();
    const counted = counting(identityOf("x25519"));
    await expect(openRanges(sourceOf(armor), { identities: [counted.identity] })).rejects.toThrow(
      refused("ERR_NO_SEGMENTS"),
    );
    expect(counted.unlocks).toBe(0);
  });

  it("costs a read of the header and of the segments it touches, and no more", async () => {
    const source = sourceOf(sealed);
    const ranges = await openRanges(source, { identities });
    expect(source.reads).toEqual([[0, 4096]]);
    await ranges.read(4 * FULL - 1, 2);
    expect(source.reads.slice(1)).toEqual([
      [segmentAt(3), SEGMENT],
      [segmentAt(4), SEGMENT],
    ]);
    await ranges.read(7 * FULL, FULL);
    expect(source.reads.slice(3)).toEqual([[segmentAt(7), SEGMENT]]);
    await ranges.read(SIZE, 10);
    await ranges.read(5, 0);
    expect(source.reads.length).toBe(4);
  });

  it("is not delivered from an altered segment, and is from those beside it", async () => {
    const ranges = await opened(flipped(segmentAt(3) + 50));
    await expect(ranges.read(3 * FULL - 1, 2)).rejects.toEqual(refused("ERR_SEGMENT"));
    await expect(ranges.read(3 * FULL, 1)).rejects.toEqual(refused("ERR_SEGMENT"));
    expect((await ranges.read(2 * FULL, FULL)).length).toBe(FULL);
    expect((await ranges.read(4 * FULL, FULL)).length).toBe(FULL);
  });

  it("is not delivered from a segment that lies at another's place", async () => {
    const swapped = sealed.slice();
    swapped.copyWithin(segmentAt(2), segmentAt(5), segmentAt(6));
    await expect((await opened(swapped)).read(2 * FULL, 1)).rejects.toEqual(refused("ERR_SEGMENT"));
  });

  it("begins within the message and has a length, or is a mistake of the caller's", async () => {
    const ranges = await opened(sealed);
    for (const [offset, length] of [
      [-1, 1],
      [0, -1],
      [0.5, 1],
      [SIZE + 1, 0],
      [0, Infinity],
    ]) {
      await expect(ranges.read(Number(offset), Number(length))).rejects.toThrow(RangeError);
    }
  });

  it("reads a message whose header is a file of its own", async () => {
    const header = sealed.slice(0, headerBytes);
    const ranges = await openRanges(sourceOf(sealed.slice(headerBytes)), { identities, header });
    const part = await ranges.read(FULL, 3);
    expect(Buffer.compare(part, plaintext.subarray(FULL, FULL + 3))).toBe(0);
  });

  it("reads a signed message, whose trailer is no part of it", async () => {
    const sender = senderOf("p384");
    const signed = await (await sealMessage(plaintext, { ...options, sender })).stream().bytes();
    const ranges = await opened(signed);
    expect(ranges.size).toBe(SIZE);
    await ranges.verifySize();
    const end = await ranges.read(SIZE - 5, 100);
    expect(Buffer.compare(end, plaintext.subarray(-5))).toBe(0);
    expect(ranges).not.toHaveProperty("sender");
  });

  it("is not read before the header's signer was accepted", async () => {
    const authenticate = () => Promise.reject(new Error("not from there"));
    const opening = openRanges(sourceOf(sealed), { identities, authenticate });
    await expect(opening).rejects.toThrow("not from there");
  });
});

describe("the size of a sealed message", () => {
  it("holds when the last segment does", async () => {
    const source = sourceOf(sealed);
    await (await openRanges(source, { identities })).verifySize();
    expect(source.reads.at(-1)).toEqual([segmentAt(10), 123 + 32]);
  });

  it.each([
    ["cut after a whole segment", segmentAt(5)],
    ["cut within a segment", segmentAt(5) + 1000],
  ])("%s does not hold, though what was left can be read", async (_how, length) => {
    const ranges = await opened(sealed.subarray(0, length));
    await expect(ranges.verifySize()).rejects.toEqual(refused("ERR_SEGMENT"));
    const part = await ranges.read(0, 10);
    expect(Buffer.compare(part, plaintext.subarray(0, 10))).toBe(0);
  });

  it.each([
    ["without a segment", bodyAt],
    ["cut within a segment's overhead", segmentAt(5) + 31],
    ["with one empty segment too many", segmentAt(5) + 32],
  ])("%s is refused at once", async (_how, length) => {
    await expect(opened(sealed.subarray(0, length))).rejects.toEqual(refused("ERR_TRUNCATED"));
  });

  it("grown by what was appended does not hold", async () => {
    const ranges = await opened(Buffer.concat([sealed, Buffer.alloc(5)]));
    await expect(ranges.verifySize()).rejects.toEqual(refused("ERR_SEGMENT"));
  });

  it("of a source that returns less than its size is refused where it matters", async () => {
    const source = { ...sourceOf(sealed.subarray(0, segmentAt(6))), size: sealed.length };
    const ranges = await openRanges(source, { identities });
    expect((await ranges.read(5 * FULL, 10)).length).toBe(10);
    await expect(ranges.read(6 * FULL, 10)).rejects.toEqual(refused("ERR_TRUNCATED"));
  });
});
