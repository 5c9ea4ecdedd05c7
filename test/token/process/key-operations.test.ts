/** Keys of a token that was pulled: its objects have other handles once it is back. */
import { describe, expect, it } from "@jest/globals";
import { type KeyAccess, KeyOperations } from "../../../src/token/process/key-operations.js";
import type { KeyInfo } from "../../../src/token/values.js";

const key = { uri: "pkcs11:object=key", token: { label: "t" } } as KeyInfo;

/** A token whose every `unlock` is counted, and which may be pulled. */
function pullable(): { operations: KeyOperations; unlocked: () => number; pull: () => void } {
  let unlocked = 0;
  let isLoggedIn = false;
  const unlock = (): Promise<never> => {
    unlocked += 1;
    isLoggedIn = true;
    const made = { type: "rsa", oaepHashes: [], sign: () => Promise.resolve(new Uint8Array()) };
    return Promise.resolve(made as never);
  };
  const holder = () => ({ unlock }) as never;
  const access: KeyAccess = {
    ...{ identity: holder, signingIdentity: holder, capiKey: holder, capiSigningKey: holder },
    isLoggedIn: () => Promise.resolve(isLoggedIn),
  };
  const pull = (): void => {
    isLoggedIn = false;
  };
  return { operations: new KeyOperations(access), unlocked: () => unlocked, pull };
}

describe.each(["unlock", "unlockSigner", "unlockCapi", "unlockCapiSigner"])("%s", (method) => {
  const run = (operations: KeyOperations): Promise<unknown> | undefined =>
    operations.byMethod[method]?.(key, () => undefined);

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
  });
});
