/**
 * What an earlier version wrote still opens: files, made by it and kept. And what it makes of files
 * that were padded or re-wrapped since: the reader of the page stands in for it.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import type { PassedOn } from "../../src/envelope/message-info.js";
import { openMessage, verifySender } from "../../src/envelope/messages.js";
import { readMessage } from "../docs/page-reader.js";
import { identityOf, senderOf, type ExchangeKeyName } from "../support/identities.js";
import { TEST_KEYS } from "../support/keys.js";
import { allowed, NOW_MS } from "../support/rewrapped.js";

const kept = (folder: string) => (name: string) =>
  new Uint8Array(readFileSync(new URL(`fixtures/${folder}/${name}.p11s`, import.meta.url)));
const fixture = kept("0.1.0");
const later = kept("rewrapped");

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

describe("a message of 0.1.0 that was re-wrapped", () => {
  const KEYS = { padded: "x25519", "to-x25519": "p256", "to-p521-recorded": "p256" } as const;
  const TEXTS = {
    padded: "padded when it was sealed\n",
    "to-x25519": "sealed by 0.1.0 to x25519\n",
    "to-p521-recorded": "sealed by 0.1.0 to p521\n",
  };

  it.each(["padded", "to-x25519", "to-p521-recorded"] as const)(
    "%s opens, for 0.1.0 as well if nobody signed it",
    async (name) => {
      const whole = later(name);
      const opened = await openMessage(whole, { identities: [identityOf(KEYS[name])] });
      expect(Buffer.from(await opened.plaintext.bytes()).toString()).toBe(TEXTS[name]);
      expect(opened.info.headerBytes).toBe(4096);
      const old = readMessage(whole, TEST_KEYS[KEYS[name]], { knowsNoExtension: true });
      expect(old.plaintext.toString()).toBe(TEXTS[name]);
    },
  );

  it("and signed opens for whom a custodian passed it on to, and not for 0.1.0", async () => {
    const whole = later("signed-by-ed25519");
    const records: PassedOn[] = [];
    const identities = [identityOf("rsa2048")];
    const opened = await openMessage(whole, { identities, passedOn: allowed(records) });
    const text = Buffer.from(await opened.plaintext.bytes()).toString();
    expect(text).toBe("signed by 0.1.0 with ed25519\n");
    const record = {
      keyId: Buffer.from(senderOf("rsa3072").publicKey.fingerprint).toString("hex"),
      ...{ generation: 2, rewrappedMs: NOW_MS, addressees: 3, rulesHash: "07".repeat(32) },
    };
    expect(records).toMatchObject([record]);
    const [pem, old] = [TEST_KEYS.rsa2048, { knowsNoExtension: true }];
    expect(() => readMessage(whole, pem, old)).toThrow("RECIPS");
    const custodian = senderOf("rsa3072").publicKey.fingerprint;
    expect(readMessage(whole, pem, { custodian }).plaintext.toString()).toBe(text);
  });
});
