import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { concat, fromHex, toHex } from "../../src/bytes.js";
import { der, DerReader, derUnsigned, TAG, withoutLeadingZeros } from "../../src/asn1/der.js";
import { codeOf } from "../keys/support.js";

function reader(hex: string): DerReader {
  return new DerReader(fromHex(hex), "test value");
}

describe("strict DER", () => {
  it.each([
    ["an indefinite length", "3080020101000000"],
    ["a long form where the short one fits", "3081030201ff"],
    ["a long form with a zero in front", `30820081${"00".repeat(0x81)}`],
    ["a length of four bytes", "308401000000"],
  ])("%s is refused", (_, hex) => {
    expect(codeOf(() => reader(hex).read(TAG.sequence))).toBe("ERR_DER");
  });

  it.each([
    ["nothing at all", ""],
    ["a tag alone", "30"],
    ["content cut short", "300302"],
    ["a length cut short", "3082"],
  ])("%s is refused as truncated", (_, hex) => {
    expect(codeOf(() => reader(hex).read(TAG.sequence))).toBe("ERR_TRUNCATED");
  });

  it.each([
    ["an empty number", "0200"],
    ["a negative number", "020180"],
    ["a needless zero", "0202007f"],
    ["a bare zero twice", "02020000"],
  ])("%s is refused", (_, hex) => {
    expect(codeOf(() => reader(hex).unsigned())).toBe("ERR_DER");
  });

  it("a value of another tag is refused", () => {
    expect(codeOf(() => reader("020101").read(TAG.sequence))).toBe("ERR_DER");
  });

  it("a bit string with unused bits, or without any byte, is refused", () => {
    expect(codeOf(() => reader("030201fe").bitString())).toBe("ERR_DER");
    expect(codeOf(() => reader("0300").bitString())).toBe("ERR_DER");
  });

  it("a NULL with content is refused", () => {
    expect(
      codeOf(() => {
        reader("050100").readEmpty(TAG.null);
      }),
    ).toBe("ERR_DER");
  });

  it("bytes after the last value are refused", () => {
    const values = reader("02010100");
    values.unsigned();
    expect(
      codeOf(() => {
        values.end();
      }),
    ).toBe("ERR_TRAILING");
  });

  it("zero is written as one byte and read as none", () => {
    expect(toHex(derUnsigned(new Uint8Array(0)))).toBe("020100");
    expect(reader("020100").unsigned()).toHaveLength(0);
  });

  it("what is written reads back the same, whatever the length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000, size: "max" }), (bytes) => {
        const number = withoutLeadingZeros(bytes);
        const values = new DerReader(
          concat(derUnsigned(bytes), der(TAG.octetString, bytes)),
          "test value",
        );
        expect(toHex(values.unsigned())).toBe(toHex(number));
        expect(toHex(values.read(TAG.octetString))).toBe(toHex(bytes));
        values.end();
      }),
      { numRuns: 50 },
    );
  });
});

describe("booleans, counts and named bits", () => {
  it.each([
    ["0101ff", true],
    ["010100", false],
  ])("boolean %s is %s", (hex, value) => {
    expect(reader(hex).boolean()).toBe(value);
  });

  it.each([
    ["0200", "ERR_DER"],
    ["0201ff", "ERR_DER"],
    ["02020001", "ERR_DER"],
  ])("count %s is refused", (hex, code) => {
    expect(codeOf(() => reader(hex).count())).toBe(code);
  });

  it.each([
    ["020100", 0],
    ["02020080", 128],
    ["020500ffffffff", 0xffff_ffff],
    ["02060100000000ff", 0xffff_ffff],
  ])("count %s is %s", (hex, value) => {
    expect(reader(hex).count()).toBe(value);
  });

  it.each([
    ["030100", 0],
    ["03020780", 1],
    ["03020106", 0b110_0000],
    ["0303070080", 1 << 8],
    ["030500ffffffff", 0xffff_ffff],
  ])("bits %s are %s", (hex, value) => {
    expect(reader(hex).namedBits()).toBe(value);
  });

  it.each(["0300", "030107", "03020880", "03020781", "030600ffffffffff"])(
    "bits %s are refused",
    (hex) => {
      expect(codeOf(() => reader(hex).namedBits())).toBe("ERR_DER");
    },
  );

  it("a boolean is 00 or ff, and of one byte", () => {
    for (const hex of ["0100", "010101", "0102ffff"]) {
      expect(codeOf(() => reader(hex).boolean())).toBe("ERR_DER");
    }
  });

  it("a value that is not there is not read", () => {
    const values = reader("a003020101020102");
    expect(values.optional(0xa1)).toBeUndefined();
    expect(values.optional(0xa0)?.count()).toBe(1);
    expect(toHex(values.any())).toBe("020102");
    values.end();
  });
});
