import { describe, expect, it } from "@jest/globals";
import { createDecipheriv, createHmac } from "node:crypto";
import fc from "fast-check";
import { concat, toHex, u32 } from "../../src/bytes.js";
import {
  floeOpen,
  floeSeal,
  SEGMENT_OVERHEAD,
  segmentLength,
  FloeCipher,
} from "../../src/body/floe.js";

const key = new Uint8Array(32).fill(3);
const aad = new Uint8Array(48).fill(4);
const parameters = { segmentBytes: 64 };
const full = 64 - SEGMENT_OVERHEAD;

/** Two ends of one message. */
function ends(segmentBytes = 64): { sealing: FloeCipher; opening: FloeCipher } {
  const { header, segments } = floeSeal(key, aad, { segmentBytes });
  return { sealing: segments, opening: floeOpen(key, aad, { segmentBytes }, header) };
}

const refusal = expect.objectContaining({ code: "ERR_SEGMENT" }) as unknown as Error;

describe("a segment", () => {
  it("has its whole length, its IV and its tag, whatever it holds", () => {
    const { sealing } = ends();
    for (let length = 0; length <= full; length++) {
      const segment = concat(...sealing.seal(0, true, new Uint8Array(length)));
      expect(segment.length).toBe(length + SEGMENT_OVERHEAD);
      expect(segmentLength(segment)).toBe(segment.length);
    }
    const segment = concat(...sealing.seal(0, false, new Uint8Array(full)));
    expect([segment.length, segmentLength(segment)]).toEqual([64, null]);
  });

  it("that is not the last is full, or is not sealed at all", () => {
    const { sealing } = ends();
    for (const length of [0, 1, full - 1, full + 1]) {
      expect(() => sealing.seal(0, false, new Uint8Array(length))).toThrow(RangeError);
    }
    expect(() => sealing.seal(0, true, new Uint8Array(full + 1))).toThrow(RangeError);
  });

  it("shorter than its overhead is refused, down to nothing, without reading past it", () => {
    const { opening } = ends();
    // The bytes that follow in memory look like a whole segment.
    const memory = concat(u32(3), new Uint8Array(61));
    for (let length = 0; length < SEGMENT_OVERHEAD; length++) {
      for (const final of [true, false]) {
        expect(() => opening.open(0, final, memory.subarray(0, length))).toThrow(refusal);
      }
    }
  });

  it("longer than the message's segments is refused, though its tag is right", () => {
    const { opening } = ends(64);
    const sealing = new FloeCipher({
      ...opening.exportState(),
      parameters: { segmentBytes: 128 },
    });
    const long = concat(...sealing.seal(0, true, new Uint8Array(40)));
    expect(() => opening.open(0, true, long)).toThrow(refusal);
    const short = concat(...sealing.seal(0, true, new Uint8Array(full)));
    expect(opening.open(0, true, short).length).toBe(full);
  });

  it("opens as what it was sealed, and as nothing else", () => {
    fc.assert(
      fc.property(
        fc.nat(5),
        fc.boolean(),
        fc.uint8Array({ minLength: full, maxLength: full }),
        fc.nat(5),
        fc.boolean(),
        (index, final, plaintext, otherIndex, otherFinal) => {
          const { sealing, opening } = ends();
          const segment = concat(...sealing.seal(index, final, plaintext));
          const open = () => toHex(opening.open(otherIndex, otherFinal, segment));
          if (index === otherIndex && final === otherFinal) expect(open()).toBe(toHex(plaintext));
          else expect(open).toThrow(refusal);
        },
      ),
    );
  });

  it("with any one bit altered is refused", () => {
    const { sealing, opening } = ends();
    for (const final of [true, false]) {
      const segment = concat(...sealing.seal(2, final, new Uint8Array(full).fill(7)));
      for (let bit = 0; bit < 8 * segment.length; bit++) {
        const altered = segment.slice();
        altered[bit >> 3] = (altered[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(() => opening.open(2, final, altered)).toThrow(refusal);
      }
    }
  });

  it("of another message is refused, under the same key and at the same place", () => {
    const [one, other] = [ends(), ends()];
    const segment = concat(...one.sealing.seal(0, true, new Uint8Array(5)));
    expect(() => other.opening.open(0, true, segment)).toThrow(refusal);
  });

  it("has the key of its 2^20, which FLOE's definition gives, on both ends", () => {
    const { header, segments } = floeSeal(key, aad, parameters);
    const opening = floeOpen(key, aad, parameters, header);
    const places = [0, 1, 2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1, 2 ** 21, 2 ** 32 + 5, 2 ** 40 - 1, 0];
    for (const index of places) {
      const segment = concat(...segments.seal(index, false, filled(index)));
      const epoch = index - (index % 2 ** 20);
      expect(toHex(openedUnder(header, epoch, index, segment))).toBe(toHex(filled(index)));
      expect(toHex(opening.open(index, false, segment))).toBe(toHex(filled(index)));
    }
  });

  /** FLOE_KDF and a segment's encryption, from their definition. */
  function openedUnder(
    header: Uint8Array,
    epoch: number,
    index: number,
    segment: Uint8Array,
  ): Uint8Array {
    const u64 = (value: number) => Buffer.from(value.toString(16).padStart(16, "0"), "hex");
    const kdf = (secret: Uint8Array, purpose: Uint8Array) =>
      createHmac("sha384", secret)
        .update(concat(header.subarray(0, 42), purpose, aad, Uint8Array.of(1)))
        .digest();
    const messageKey = kdf(key, Buffer.from("MESSAGE_KEY:"));
    const segmentKey = kdf(messageKey, concat(Buffer.from("DEK:"), u64(epoch))).subarray(0, 32);
    const decipher = createDecipheriv("aes-256-gcm", segmentKey, segment.subarray(4, 16));
    decipher.setAAD(concat(u64(index), Uint8Array.of(0)));
    decipher.setAuthTag(segment.subarray(-16));
    const plaintext = decipher.update(segment.subarray(16, -16));
    decipher.final();
    return plaintext;
  }

  it("past the 2^40th is neither sealed nor opened", () => {
    const { sealing, opening } = ends();
    expect(() => sealing.seal(2 ** 40, true, new Uint8Array(1))).toThrow(RangeError);
    const segment = concat(...sealing.seal(0, true, new Uint8Array(1)));
    expect(() => opening.open(2 ** 40, true, segment)).toThrow(RangeError);
  });

  function filled(index: number): Uint8Array {
    return new Uint8Array(full).fill(index % 251);
  }
});

describe("a FLOE header", () => {
  it("of another length is refused, whatever it starts with", () => {
    const { header } = floeSeal(key, aad, parameters);
    for (const wrong of [header.subarray(0, 73), header.subarray(0, 42), new Uint8Array(0)]) {
      expect(() => floeOpen(key, aad, parameters, wrong)).toThrow(
        expect.objectContaining({ code: "ERR_BODY_HEADER" }),
      );
    }
    const longer = concat(header, Uint8Array.of(0));
    expect(() => floeOpen(key, aad, parameters, longer)).toThrow(
      expect.objectContaining({ code: "ERR_BODY_HEADER" }),
    );
  });

  it("claiming other segments than the message does is refused", () => {
    const { header } = floeSeal(key, aad, { segmentBytes: 128 });
    expect(() => floeOpen(key, aad, parameters, header)).toThrow(
      expect.objectContaining({ code: "ERR_BODY_HEADER" }),
    );
  });
});
