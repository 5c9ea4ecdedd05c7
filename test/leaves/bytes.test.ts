import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  concat,
  Cursor,
  equal,
  fromBase64,
  fromHex,
  toBase64,
  toBase64Url,
  toHex,
  u16,
  u32,
  u64,
} from "../../src/bytes.js";
import { AuthenticationError, FormatError } from "../../src/errors.js";

const bytes = fc.uint8Array({ maxLength: 64 });

describe("hexadecimal and base64", () => {
  it("come back as the bytes they were made from, also from a view into a larger buffer", () => {
    fc.assert(
      fc.property(bytes, fc.nat(8), (value, before) => {
        const view = concat(new Uint8Array(before).fill(0xaa), value).subarray(before);
        expect([...fromHex(toHex(view))]).toEqual([...value]);
        expect([...fromBase64(toBase64(view))]).toEqual([...value]);
        expect([...Buffer.from(toBase64Url(view), "base64url")]).toEqual([...value]);
      }),
    );
  });

  it.each(["0", "0g", " 00", "00 ", "0x00", "00\n", "é0"])("%j is not hexadecimal", (text) => {
    expect(() => fromHex(text)).toThrow(expect.objectContaining({ code: "ERR_HEX" }));
  });

  it.each([
    ["no padding", "AA"],
    ["bits after the end", "AB=="],
    ["base64url", "-_8="],
    ["a line break", "AAAA\nAAAA"],
    ["blanks", " AAA="],
    ["text after the padding", "AA==AA=="],
    ["not base64", "****"],
  ])("base64 with %s is refused", (_what, text) => {
    expect(() => fromBase64(text)).toThrow(expect.objectContaining({ code: "ERR_BASE64" }));
  });
});

describe("numbers on the wire", () => {
  it("are big-endian, and come back", () => {
    fc.assert(
      fc.property(fc.nat(0xffff), fc.nat(0xffff_ffff), (short, long) => {
        const cursor = new Cursor(concat(u16(short), u32(long)), "numbers");
        expect([cursor.u16(), cursor.u32(), cursor.left]).toEqual([short, long, 0]);
      }),
    );
    expect(toHex(concat(u16(0x0102), u32(0x01020304)))).toBe("010201020304");
    expect(toHex(u32(0xfffffffe))).toBe("fffffffe");
    expect(toHex(u64(0x01_0203_0405_0607))).toBe("0001020304050607");
    expect(toHex(u64(Number.MAX_SAFE_INTEGER))).toBe("001fffffffffffff");
  });

  it.each([
    ["u16", u16, 0x1_0000],
    ["u32", u32, 0x1_0000_0000],
    ["u64", u64, Number.MAX_SAFE_INTEGER + 1],
  ] as const)("%s refuses what does not fit, rather than cutting it", (_name, encode, tooLarge) => {
    for (const value of [tooLarge, -1, 0.5, Number.NaN, Infinity]) {
      expect(() => encode(value)).toThrow(RangeError);
    }
  });
});

describe("equal", () => {
  it("tells every two byte strings apart", () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(equal(a, b)).toBe(toHex(a) === toHex(b));
        expect(equal(a, a.slice())).toBe(true);
      }),
    );
  });
});

describe("a cursor", () => {
  it("never reads past the end, and says where it stopped", () => {
    const cursor = new Cursor(fromHex("0102030405"), "the list");
    cursor.take(3);
    expect(() => cursor.u32()).toThrow(
      expect.objectContaining({
        code: "ERR_TRUNCATED",
        message: "the list ends after 5 of at least 7 bytes",
      }),
    );
    expect([cursor.offset, cursor.left]).toEqual([3, 2]);
  });

  it("refuses bytes after the last field", () => {
    const cursor = new Cursor(fromHex("0102"), "the list");
    cursor.u8();
    expect(() => {
      cursor.end();
    }).toThrow(expect.objectContaining({ code: "ERR_TRAILING" }));
  });

  it("fails with the error it was given, which names a format unless told otherwise", () => {
    expect(() => new Cursor(new Uint8Array(0), "it").u8()).toThrow(FormatError);
    const fail = (code: string, message: string) => new AuthenticationError(code, message);
    expect(() => new Cursor(new Uint8Array(0), "it", fail).u8()).toThrow(AuthenticationError);
  });
});
