/** What an earlier version wrote still opens: files, made by it and kept. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import { openMessage, verifySender } from "../../src/envelope/messages.js";
import { identityOf, senderOf, type ExchangeKeyName } from "../support/identities.js";

const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`fixtures/0.1.0/${name}.p11s`, import.meta.url)));

async function open(name: string, key: ExchangeKeyName) {
  const opened = await openMessage(fixture(name), { identities: [identityOf(key)] });
  return { sender: opened.sender, text: Buffer.from(await opened.plaintext.bytes()).toString() };
}

describe("a message that 0.1.0 wrote", () => {
  it.each(["p256", "p384", "p521", "x25519", "rsa2048"] as const)("to %s opens", async (key) => {
    expect((await open(`to-${key}`, key)).text).toBe(`sealed by 0.1.0 to ${key}\n`);
  });

  it("of two segments opens, and so does an empty one", async () => {
    expect((await open("two-segments", "p256")).text).toBe("0.1.0 ".repeat(678).slice(0, 4065));
    expect((await open("nothing", "x25519")).text).toBe("");
  });

  it.each(["ed25519", "p256", "p384", "rsa2048"] as const)("signed with %s opens", async (key) => {
    const { text, sender } = await open(`signed-by-${key}`, key === "p256" ? "p521" : "x25519");
    expect(text).toBe(`signed by 0.1.0 with ${key}\n`);
    const signer = {
      keyId: Buffer.from(senderOf(key).publicKey.fingerprint).toString("hex"),
      streamId: "01".repeat(16),
      serial: 10,
      createdMs: Date.UTC(2026, 10, 23),
      ...(key === "p384" ? { expiresMs: Date.UTC(2027, 0, 1) } : {}),
    };
    expect(sender).toMatchObject(signer);
    expect(await verifySender(fixture(`signed-by-${key}`))).toMatchObject(signer);
  });
});
