import { describe, expect, it } from "@jest/globals";
import { joined } from "../../../../src/cli/commands/keys/hybrid-generate.js";
import type { Output } from "../../../../src/cli/io/output.js";
import type { GeneratedKey } from "../../../../src/token/values.js";
import { identityOf } from "../../../support/identities.js";

const done = (): Promise<void> => Promise.resolve();
const full = (): Promise<void> => Promise.reject(new Error("ENOSPC"));
const output = { write: done, prepare: done, place: done, close: done } as unknown as Output;

describe("a seed file that can't be written", () => {
  it.each([
    ["while it is written", { write: full }],
    ["before it gets its name", { prepare: full }],
  ])("%s: says that the half stays on the token", async (_when, fault) => {
    const made = { key: { uri: "pkcs11:id=%01" } } as GeneratedKey;
    const making = joined(
      { kem: "mlkem768-p256", half: "ec:p256", seedFile: "new.seed", escrow: [] },
      identityOf("p256").publicKey,
      { made, escrow: [], seedOutput: { ...output, ...fault } },
    );
    await expect(making).rejects.toMatchObject({
      code: "ERR_KEY_HALF",
      hint: expect.stringContaining("p11seal keys delete 'pkcs11:id=%01'") as unknown,
    });
  });
});
