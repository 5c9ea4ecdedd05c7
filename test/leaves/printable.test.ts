import { describe, expect, it } from "@jest/globals";
import { oneLine, printable, printableJson } from "../../src/printable.js";

/** C1 controls, marks and overrides of direction, characters of no width, tags. */
const UNSAFE = [
  ...Array.from({ length: 32 }, (_, at) => 0x80 + at),
  ...[0x00, 0x07, 0x1b, 0x7f, 0xad, 0x61c, 0x180e, 0x200b, 0x200d, 0x200e, 0x200f],
  ...[0x2028, 0x2029, 0x202a, 0x202d, 0x202e, 0x2060, 0x2066, 0x2069, 0xfeff, 0xfff9],
  ...[0xe0001, 0xe0041, 0xe007f],
].map((point) => String.fromCodePoint(point));

const SAFE = "naïve 名前 🔑 עברית <&>\\";

describe("printable", () => {
  it.each([
    ["\u001b[2J", "\\u{1b}[2J"],
    ["a\nb", "a\\nb"],
    ["\u009b31m", "\\u{9b}31m"],
    ["gpj.\u202egnp", "gpj.\\u{202e}gnp"],
    ["zero\u200bwidth", "zero\\u{200b}width"],
    ["tag\u{e0041}", "tag\\u{e0041}"],
    ["\ud800", "\\u{d800}"],
    [SAFE, SAFE],
  ])("lets nothing move the cursor or reorder a line: %j", (text, shown) => {
    expect(printable(text)).toBe(shown);
  });
});

describe("oneLine", () => {
  it("replaces each such character", () => {
    expect(oneLine(`a${UNSAFE.join("")}\r\n\tb`)).toBe(`a${"?".repeat(UNSAFE.length + 3)}b`);
    expect(oneLine(SAFE)).toBe(SAFE);
  });
});

describe("printableJson", () => {
  it.each([undefined, 2])(
    "is JSON of the same value, without such characters (indent %s)",
    (by) => {
      const value = { [UNSAFE.join("")]: UNSAFE, safe: SAFE, lines: "a\nb\t\ud800" };
      const text = printableJson(value, by);
      expect(JSON.parse(text)).toEqual(value);
      for (const character of UNSAFE) expect(text).not.toContain(character);
      expect(text).not.toMatch(/[^\P{Cc}\n]/u);
      expect(text).toContain("名前 🔑 עברית");
    },
  );

  it("is what JSON.stringify gives for everything else", () => {
    const value = { a: [1, null, true, SAFE], b: { c: "\n" } };
    expect(printableJson(value)).toBe(JSON.stringify(value));
    expect(printableJson(value, 2)).toBe(JSON.stringify(value, undefined, 2));
  });
});
