/** The file key of a message: nobody can guess it, and no other message has it. */
import { describe, expect, it } from "@jest/globals";
import { openMessage, sealMessage } from "../../src/envelope/messages.js";
import type { Identity } from "../../src/keys/key.js";
import { identityOf, recipientOf } from "../support/identities.js";

const rsa = identityOf("rsa2048");

/** What the private key unwraps while a message is opened, in hexadecimal. */
async function fileKeyOf(message: Uint8Array): Promise<string> {
  let seen = "";
  const watching: Identity = {
    publicKey: rsa.publicKey,
    name: rsa.name,
    unlock: async () => {
      const { publicKey, oaep } = await rsa.unlock();
      if (oaep === undefined) throw new Error("no OAEP");
      return {
        publicKey,
        oaep: {
          ...oaep,
          decrypt: async (...given) => {
            const secret = await oaep.decrypt(...given);
            seen = Buffer.from(secret?.expose() ?? []).toString("hex");
            return secret;
          },
        },
      };
    },
  };
  const { plaintext } = await openMessage(message, { identities: [watching] });
  await plaintext.bytes();
  return seen;
}

describe("the file key", () => {
  it("is random, and another for each message with the same plaintext and recipients", async () => {
    const keys = new Set<string>();
    for (let i = 0; i < 8; i++) {
      const sealed = await sealMessage(Buffer.from("the same"), {
        recipients: [recipientOf("rsa2048", "sha256")],
      });
      const key = await fileKeyOf(await sealed.stream().bytes());
      expect(key).toHaveLength(64);
      expect(new Set(Buffer.from(key, "hex")).size).toBeGreaterThan(8);
      keys.add(key);
    }
    expect(keys.size).toBe(8);
  });
});
