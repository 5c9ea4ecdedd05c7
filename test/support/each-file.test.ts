/** What is set up before each test file must not make a comparison more lenient. */
import { describe, expect, it } from "@jest/globals";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe("bytes", () => {
  it.each([
    ["differ in one", bytes(1, 2, 3), bytes(1, 2, 4)],
    ["differ in one, in a Buffer", Buffer.of(1, 2, 3), bytes(1, 2, 4)],
    ["are a part of the others", bytes(1, 2), bytes(1, 2, 3)],
  ])("that %s are not equal", (_how, a, b) => {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ]) {
      expect(one).not.toEqual(other);
      expect({ within: [one] }).not.toEqual({ within: [other] });
      expect({ within: one, more: 1 }).not.toMatchObject({ within: other });
    }
  });

  it("that are none are not equal to some", () => {
    expect(bytes()).not.toEqual(bytes(0));
    expect(bytes(0)).not.toEqual(bytes());
  });

  it.each([
    ["numbers", [1, 2]],
    ["wider numbers", Uint16Array.of(1, 2)],
  ])("are not equal to %s", (_what, others) => {
    expect(bytes(1, 2)).not.toEqual(others);
    expect(others).not.toEqual(bytes(1, 2));
  });

  it("in a Buffer equal the same elsewhere, but not strictly", () => {
    expect(Buffer.of(1, 2)).toEqual(bytes(1, 2));
    expect({ within: bytes(1, 2) }).toEqual({ within: Buffer.of(1, 2) });
    expect(Buffer.of(1, 2)).not.toStrictEqual(bytes(1, 2));
    expect({ within: bytes(1, 2) }).not.toStrictEqual({ within: Buffer.of(1, 2) });
    expect(Buffer.of(1, 2)).toStrictEqual(Buffer.of(1, 2));
  });
});
