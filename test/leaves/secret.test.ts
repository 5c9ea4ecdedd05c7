import { describe, expect, it } from "@jest/globals";
import { format, inspect } from "node:util";
import { Secret } from "../../src/secret.js";

/** Bytes that are easy to find in any encoding. */
const bytes = () => new Uint8Array(16).fill(0xab);
const traces = ["ab", "171", "q6ur", "\u00ab"];

describe("a secret", () => {
  it.each([
    ["a template", (secret: Secret) => `it is ${secret as unknown as string}`],
    ["String", String],
    ["JSON", (secret: Secret) => JSON.stringify({ secret })],
    ["inspect", (secret: Secret) => inspect({ nested: [secret] }, { depth: 9 })],
    ["inspect with everything", (secret: Secret) => inspect(secret, { showHidden: true })],
    [
      "inspect without its own say",
      (secret: Secret) => inspect(secret, { showHidden: true, customInspect: false }),
    ],
    ["console's format", (secret: Secret) => format("%s %o %O %j", secret, secret, secret, secret)],
    ["its own keys", (secret: Secret) => JSON.stringify(Object.entries(secret))],
    ["a clone", (secret: Secret) => inspect(structuredClone(secret))],
    ["an error's message", (secret: Secret) => new Error(String(secret)).stack ?? ""],
  ])("does not show in %s", (_where, show) => {
    const shown = show(new Secret(bytes()));
    expect(traces.filter((trace) => shown.toLowerCase().includes(trace))).toEqual([]);
  });

  it("is overwritten where it lies when it is wiped, and keeps only its length", () => {
    const mine = bytes();
    const secret = new Secret(mine);
    secret.wipe();
    expect([...mine]).toEqual(new Array(16).fill(0));
    expect(secret.length).toBe(16);
  });

  it("is not used as a key of zeros after it was wiped", () => {
    const secret = new Secret(bytes());
    expect(secret.expose()[0]).toBe(0xab);
    secret.wipe();
    secret.wipe();
    expect(() => secret.expose()).toThrow(TypeError);
  });
});
