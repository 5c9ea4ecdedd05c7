/** Keys of a token that was pulled: its objects have other handles once it is back. */
import { describe, expect, it } from "@jest/globals";
import { type KeyAccess, KeyOperations } from "../../../src/token/process/key-operations.js";
import type { KeyInfo } from "../../../src/token/values.js";

const key = { uri: "pkcs11:object=key", token: { label: "t" } } as KeyInfo;

/** A token whose every `unlock` is counted, and which may be pulled. */
function pullable(fails: (nth: number) => boolean = () => false): {
  operations: KeyOperations;
  unlocked: () => number;
  pull: () => void;
} {
  let unlocked = 0;
  let isLoggedIn = false;
  const unlock = (): Promise<never> => {
    unlocked += 1;
    isLoggedIn = true;
    if (fails(unlocked)) return Promise.reject(new Error("no such key"));
    const made = { sign: () => Promise.resolve(new Uint8Array()) };
    return Promise.resolve(made as never);
  };
  const access: KeyAccess = {
    identity: () => ({ unlock }) as never,
    isLoggedIn: () => Promise.resolve(isLoggedIn),
  };
  const pull = (): void => {
    isLoggedIn = false;
  };
  return { operations: new KeyOperations(access), unlocked: () => unlocked, pull };
}

const use = { capability: "sign", input: new Uint8Array() };
const PURPOSES = ["open", "sign", "capi-open", "capi-sign"];
const cases = PURPOSES.flatMap((purpose) => [
  ["unlock", purpose] as const,
  ["useKey", purpose] as const,
]);

describe.each(cases)("%s, to %s", (method, purpose) => {
  const run = (operations: KeyOperations): Promise<unknown> | undefined =>
    operations.byMethod[method]?.(key, () => undefined, ...([purpose, use] as never[]));

  it("finds the private key once, for all who ask", async () => {
    const { operations, unlocked } = pullable();
    await run(operations);
    await Promise.all([run(operations), run(operations)]);
    expect(unlocked()).toBe(1);
  });

  it("finds it again once the token was pulled", async () => {
    const { operations, unlocked, pull } = pullable();
    await run(operations);
    pull();
    await run(operations);
    expect(unlocked()).toBe(2);
    await run(operations);
    expect(unlocked()).toBe(2);
  });

  it("finds it again after the logins have ended", async () => {
    const { operations, unlocked } = pullable();
    await run(operations);
    operations.forget();
    await run(operations);
    expect(unlocked()).toBe(2);
  });

  it("tries again after a failure", async () => {
    const { operations, unlocked } = pullable((nth) => nth === 1);
    await expect(run(operations)).rejects.toThrow("no such key");
    await run(operations);
    expect(unlocked()).toBe(2);
  });
});

it("a key unlocked for one purpose is not used for another", async () => {
  const { operations, unlocked } = pullable();
  for (const purpose of PURPOSES) {
    await operations.byMethod["unlock"]?.(key, () => undefined, ...([purpose] as never[]));
  }
  expect(unlocked()).toBe(PURPOSES.length);
});
