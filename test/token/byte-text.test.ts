import { describe, expect, it } from "@jest/globals";
import { bytesOfText, isExactText, textOfBytes } from "../../src/token/byte-text.js";
import { printable } from "../../src/printable.js";

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));

describe("text kept byte for byte", () => {
  it.each([
    ["52656ec3a9", "Ren\u00e9"],
    ["52656ee9", "Ren\udce9"],
    ["ff", "\udcff"],
    // A byte order mark is part of a name.
    ["efbbbf61", "\ufeffa"],
    ["f09f9880ff", "\u{1f600}\udcff"],
    // What is no UTF-8: cut, overlong, a surrogate, beyond Unicode.
    ["e282", "\udce2\udc82"],
    ["c0af", "\udcc0\udcaf"],
    ["edb3bf", "\udced\udcb3\udcbf"],
    ["f4908080", "\udcf4\udc90\udc80\udc80"],
    ["", ""],
  ])("of %s is %j, and back", (bytes, text) => {
    expect(textOfBytes(hex(bytes))).toBe(text);
    expect(bytesOfText(text).toString("hex")).toBe(bytes);
  });

  it("tells different bytes apart, whatever they are", () => {
    const all = Array.from({ length: 65_536 }, (_, n) => Uint8Array.of(n >> 8, n & 255));
    const texts = all.map(textOfBytes);
    expect(new Set(texts).size).toBe(all.length);
    expect(
      texts.every((text, n) => Buffer.compare(bytesOfText(text), all[n] ?? hex("")) === 0),
    ).toBe(true);
  });

  it("is known by its odd bytes, and shown with them as escapes", () => {
    expect([isExactText("Ren\u00e9 \u{1f600}"), isExactText("Ren\udce9")]).toEqual([true, false]);
    expect(printable("Ren\udce9")).toBe("Ren\\u{dce9}");
  });
});
