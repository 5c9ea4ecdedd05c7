import { createDecipheriv } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { CHUNK_SIZES, ChunkCipher, readChunk } from "../../src/body/chunks.js";
import { openBody, sealBody } from "../../src/body/body.js";
import { cipherFrom } from "../../src/body/segments.js";
import { concat, fromHex } from "../../src/bytes.js";
import { collect, Reader } from "../../src/stream.js";
import { codeOf, inSteps } from "../support/streams.js";

const FULL = CHUNK_SIZES.plaintextBytes;
const key = new Uint8Array(32).fill(7);
const cipher = (): ChunkCipher => new ChunkCipher({ kind: "chunks", key });

function sealed(length: number): Promise<Uint8Array> {
  const body = { kind: "segments", start: new Uint8Array(0), cipher: cipher() } as const;
  return collect(sealBody(body, new Reader(new Uint8Array(length).fill(1))));
}

function open(bytes: AsyncIterable<Uint8Array> | Uint8Array): Promise<Uint8Array> {
  const body = { kind: "segments", cipher: cipher(), readSegment: readChunk } as const;
  return collect(openBody(body, new Reader(bytes)));
}

describe("age's chunks", () => {
  it.each([
    [0, false, "000000000000000000000000"],
    [1, true, "000000000000000000000101"],
    [2 ** 40 + 255, false, "0000000000010000 0000ff00".replace(" ", "")],
  ])("chunk %i, last: %s, has the nonce %s", (index, final, nonce) => {
    const [ciphertext, tag] = cipher().seal(index, final, new Uint8Array(FULL));
    const options = { authTagLength: 16 };
    const decipher = createDecipheriv("chacha20-poly1305", key, fromHex(nonce), options);
    decipher.setAuthTag(tag).update(ciphertext);
    expect(() => decipher.final()).not.toThrow();
  });

  it.each([0, 1, FULL - 1, FULL, FULL + 1, 3 * FULL])(
    "%i bytes open again, however they arrive",
    async (length) => {
      const bytes = await sealed(length);
      expect(bytes.length).toBe(length + 16 * Math.max(1, Math.ceil(length / FULL)));
      expect((await open(bytes)).length).toBe(length);
      expect((await open(inSteps(bytes, 1000))).length).toBe(length);
    },
  );

  it.each<[string, (bytes: Uint8Array) => Uint8Array, string]>([
    ["nothing", () => new Uint8Array(0), "ERR_TRUNCATED"],
    ["less than a tag", (bytes) => bytes.subarray(0, 15), "ERR_TRUNCATED"],
    ["cut within the last chunk", (bytes) => bytes.subarray(0, -1), "ERR_SEGMENT"],
    ["cut after a full chunk", (bytes) => bytes.subarray(0, FULL + 16), "ERR_SEGMENT"],
    ["cut within the last tag", (bytes) => bytes.subarray(0, FULL + 16 + 15), "ERR_TRUNCATED"],
    ["a byte more", (bytes) => concat(bytes, Uint8Array.of(0)), "ERR_SEGMENT"],
    [
      "its first chunk twice",
      (bytes) => concat(bytes.subarray(0, FULL + 16), bytes),
      "ERR_SEGMENT",
    ],
    [
      "a changed bit",
      (bytes) => bytes.map((byte, at) => (at === 70_000 ? byte ^ 1 : byte)),
      "ERR_SEGMENT",
    ],
  ])("%s is refused", async (_name, damage, code) => {
    const bytes = await sealed(FULL + 5000);
    expect(await codeOf(open(damage(bytes)))).toBe(code);
  });

  it("a last chunk without a byte is refused, unless it is the only one", async () => {
    const full = concat(...cipher().seal(0, false, new Uint8Array(FULL)));
    const empty = concat(...cipher().seal(1, true, new Uint8Array(0)));
    expect(await codeOf(open(concat(full, empty)))).toBe("ERR_SEGMENT");
  });

  it("a chunk that is not the last is full, or is not sealed at all", () => {
    for (const length of [0, 1, FULL - 1, FULL + 1]) {
      expect(() => cipher().seal(0, false, new Uint8Array(length))).toThrow(RangeError);
    }
    expect(() => cipher().seal(0, true, new Uint8Array(FULL + 1))).toThrow(RangeError);
  });

  it("another thread makes the same cipher of its state", () => {
    const [ciphertext, tag] = cipher().seal(3, true, key);
    const other = cipherFrom(structuredClone(cipher().exportState()));
    expect(other.open(3, true, concat(ciphertext, tag))).toEqual(Buffer.from(key));
  });
});
