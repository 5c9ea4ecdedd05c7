/** Messages sealed to a token's key get other recipients, on two tokens that differ a lot. */
import { randomBytes } from "node:crypto";
import { afterAll, describe, expect, it } from "@jest/globals";
import { open, rewrap, seal } from "../../src/index.js";
import { concat } from "../../src/bytes.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { TEST_KEYS } from "../support/keys.js";
import { skipped } from "../support/missing.js";
import { Bench, findStack } from "./bench.js";

describe.each(["nss", "softhsm"] as const)("with a key on %s", (name) => {
  const found = findStack(name);
  if ("reason" in found) {
    skipped("a message is re-wrapped", found.reason);
    return;
  }
  const bench = new Bench(found);
  afterAll(() => bench.close());

  it.each(["p11seal", "age", "cms"] as const)(
    "a message in %s is re-wrapped for another",
    async (format) => {
      const key = bench.door.identity(await bench.key("ec:p256"));
      const heir = softwareIdentity(Buffer.from(TEST_KEYS.rsa2048), "heir");
      const text = new Uint8Array(randomBytes(20_000));
      const recipients = [{ publicKey: key.publicKey }];
      const sealed = await seal(text, { recipients, format });
      const old = await sealed.stream().bytes();
      const { header, oldHeaderBytes } = await rewrap(old, {
        ...{ identities: [key], nowMs: Date.now() },
        add: [{ publicKey: heir.publicKey }],
        remove: [key.publicKey],
      });
      const message = concat(header, old.subarray(oldHeaderBytes));
      const opened = await open(message, { identities: [heir] });
      expect(Buffer.compare(await opened.plaintext.bytes(), text)).toBe(0);
      const refused = open(message, { identities: [key] });
      await expect(refused).rejects.toMatchObject({ code: "ERR_NO_MATCH" });
    },
  );
});
