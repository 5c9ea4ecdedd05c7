/** The key that goes on where none was unwrapped: a forger must not know it. */
import { describe, expect, it } from "@jest/globals";
import { Secret } from "../../src/secret.js";
import { derivedSubstitute, orSubstitute, randomSubstitute } from "../../src/wrap/rejection.js";

const hex = (secret: Secret): string => Buffer.from(secret.expose()).toString("hex");
const host = (fill: number): Secret => new Secret(new Uint8Array(32).fill(fill));
const wrap = (fill: number): Uint8Array => new Uint8Array(256).fill(fill);

describe("a substitute key", () => {
  it("that is random has the length asked for, and is another each time", () => {
    const made = Array.from({ length: 20 }, () => hex(randomSubstitute(32)));
    expect(new Set(made).size).toBe(20);
    for (const key of made) {
      expect(key).toHaveLength(64);
      // Of 32 random bytes, at least 8 differ, but for one time in more than 10^40.
      expect(new Set(Buffer.from(key, "hex")).size).toBeGreaterThan(8);
    }
  });

  it("that is derived depends on the host's secret, the wrap and the use, and on nothing else", () => {
    const made = hex(derivedSubstitute("a", wrap(1), host(1), 32));
    expect(hex(derivedSubstitute("a", wrap(1), host(1), 32))).toBe(made);
    expect(hex(derivedSubstitute("a", wrap(1), host(1), 16))).toBe(made.slice(0, 32));
    const others = [
      derivedSubstitute("b", wrap(1), host(1), 32),
      derivedSubstitute("a", wrap(2), host(1), 32),
      derivedSubstitute("a", wrap(1), host(2), 32),
    ].map(hex);
    expect(new Set([made, ...others, "00".repeat(32)]).size).toBe(5);
  });

  it.each([0, 16, 31, 33])(
    "takes the place of a key of %d bytes, which is wiped",
    async (bytes) => {
      const wrong = new Secret(new Uint8Array(bytes).fill(5));
      const substitute = randomSubstitute(32);
      const fits = (length: number): boolean => length === 32;
      const { key, genuine } = await orSubstitute(() => Promise.resolve(wrong), {
        fits,
        substitute,
      });
      expect({ isSubstitute: key === substitute, genuine }).toEqual({
        isSubstitute: true,
        genuine: false,
      });
      expect(() => wrong.expose()).toThrow();
    },
  );
});
