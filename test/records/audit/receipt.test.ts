import { describe, expect, it } from "@jest/globals";
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { ascii, toBase64 } from "../../../src/bytes.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import type { PrivateKey, SigningPublicKey } from "../../../src/keys/key.js";
import { signInMemory } from "../../../src/keys/signing.js";
import {
  makeReceipt,
  verifyReceipt,
  type ReceiptStatement,
} from "../../../src/records/audit/receipt.js";
import { publicDer, TEST_KEYS, type TestKeyName } from "../../support/keys.js";
import { hex, NOW } from "../support/messages.js";

const SIGNERS = ["rsa3072", "p256", "p384", "ed25519"] as const;

const statement = {
  messageId: hex("message", 32),
  sender: hex("alice", 64),
  streamId: hex("stream", 32),
  serial: 7,
  createdMs: NOW - 1000,
  receivedMs: NOW,
  sealedSha256: hex("sealed", 64),
};

const passedOn = { custodian: hex("vault", 64), rewrappedMs: NOW - 500, generation: 3 };

function signer(name: TestKeyName): { publicKey: SigningPublicKey; key: PrivateKey } {
  const publicKey = publicKeyFromSpki(publicDer(TEST_KEYS[name])) as SigningPublicKey;
  const privateKey = createPrivateKey(TEST_KEYS[name]);
  const sign = (message: Uint8Array): Promise<Uint8Array> =>
    Promise.resolve(signInMemory(publicKey, privateKey, message));
  return { publicKey, key: { publicKey, sign } };
}

async function receiptOf(name: TestKeyName): Promise<Uint8Array> {
  const { publicKey, key } = signer(name);
  return makeReceipt(statement, publicKey, key);
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("a receipt", () => {
  it.each(SIGNERS)("signed with %s says what was received, by whom", async (name) => {
    const { publicKey } = signer(name);
    const { receiver, algorithm, ...said } = verifyReceipt(await receiptOf(name), publicKey);
    expect(said).toEqual(statement);
    expect(receiver.spki).toEqual(publicKey.spki);
    expect(algorithm).not.toBe("");
  });

  it("is one line of JSON that people can read", async () => {
    const text = textOf(await receiptOf("ed25519"));
    expect(text.split("\n")).toHaveLength(2);
    expect(text.endsWith("\n")).toBe(true);
    expect(JSON.parse(text)).toMatchObject({ type: "p11seal receipt v1", ...statement });
  });

  it("says who passed the message on, if a custodian did", async () => {
    const { publicKey, key } = signer("ed25519");
    const bytes = await makeReceipt({ ...statement, passedOn }, publicKey, key);
    expect(verifyReceipt(bytes)).toMatchObject({ ...statement, passedOn });
    expect(verifyReceipt(await receiptOf("ed25519"))).not.toHaveProperty("passedOn");
    for (const [from, to] of [
      ['"generation":3', '"generation":2'],
      [passedOn.custodian, hex("other", 64)],
      [`"rewrappedMs":${passedOn.rewrappedMs}`, `"rewrappedMs":${passedOn.rewrappedMs + 1}`],
      [`,"passedOn":${JSON.stringify(passedOn)}`, ""],
    ] as const) {
      const changed = textOf(bytes).replace(from, to);
      expect(changed).not.toBe(textOf(bytes));
      expect(() => verifyReceipt(ascii(changed))).toThrow(
        expect.objectContaining({ code: "ERR_RECEIPT_SIGNATURE" }),
      );
    }
  });

  it.each([
    ["generation 0", { ...passedOn, generation: 0 }],
    ["no time", { ...passedOn, rewrappedMs: undefined }],
    ["a field too many", { ...passedOn, name: "vault" }],
    ["another order", { generation: 3, custodian: passedOn.custodian, rewrappedMs: NOW }],
    ["a custodian's name for the key", { ...passedOn, custodian: "vault" }],
    ["a list", [passedOn]],
    ["nothing", null],
  ])("is not made, and not read, with %s in who passed it on", async (_what, wrong) => {
    const { publicKey, key } = signer("ed25519");
    const odd = { ...statement, passedOn: wrong } as ReceiptStatement;
    await expect(makeReceipt(odd, publicKey, key)).rejects.toThrow(TypeError);
    const good = textOf(await makeReceipt({ ...statement, passedOn }, publicKey, key));
    const text = good.replace(JSON.stringify(passedOn), JSON.stringify(wrong));
    expect(() => verifyReceipt(ascii(text))).toThrow(
      expect.objectContaining({ code: "ERR_RECEIPT" }),
    );
  });

  it("of version 0.1.0 still holds", () => {
    const path = new URL("../fixtures/0.1.0.receipt", import.meta.url);
    expect(verifyReceipt(readFileSync(path))).toMatchObject({
      serial: 7,
      createdMs: 1_790_000_000_000,
      algorithm: "Ed25519",
    });
  });

  it("signed by somebody else is not a receipt of the signer that was asked for", async () => {
    const receipt = await receiptOf("p256");
    expect(() => verifyReceipt(receipt, signer("p384").publicKey)).toThrow(
      expect.objectContaining({ code: "ERR_RECEIPT_RECEIVER" }),
    );
  });

  it.each(Object.keys(statement))("does not hold when its %s was changed", async (field) => {
    const text = textOf(await receiptOf("ed25519"));
    const value = String(statement[field as keyof typeof statement]);
    const last = value.endsWith("1") ? "2" : "1";
    const changed = text.replace(value, value.slice(0, -1) + last);
    expect(changed).not.toBe(text);
    expect(() => verifyReceipt(ascii(changed))).toThrow(
      expect.objectContaining({ code: "ERR_RECEIPT_SIGNATURE" }),
    );
  });

  it("does not hold with another one's key in it", async () => {
    const receipt = textOf(await receiptOf("p256"));
    const other = textOf(await receiptOf("ed25519"));
    const spki = (text: string): string => (JSON.parse(text) as { receiver: string }).receiver;
    const exchanged = receipt.replace(spki(receipt), spki(other)).replace("ECDSA P-256", "Ed25519");
    expect(() => verifyReceipt(ascii(exchanged))).toThrow(
      expect.objectContaining({ code: "ERR_RECEIPT_SIGNATURE" }),
    );
  });

  it("does not hold with any bit of it flipped", async () => {
    const receipt = await receiptOf("ed25519");
    const codes = new Set<unknown>();
    for (let place = 0; place < receipt.length; place++) {
      const changed = receipt.slice();
      changed[place] = (changed[place] ?? 0) ^ (1 << (place % 8));
      try {
        verifyReceipt(changed);
        codes.add(`holds with byte ${place} changed`);
      } catch (error) {
        codes.add((error as { code?: unknown }).code);
      }
    }
    expect([...codes].sort()).toEqual(["ERR_RECEIPT", "ERR_RECEIPT_SIGNATURE"]);
  });

  it.each<[string, (text: string) => string]>([
    ["nothing", () => ""],
    ["no line feed", (text) => text.trimEnd()],
    ["two line feeds", (text) => `${text}\n`],
    ["a mark of byte order", (text) => `\uFEFF${text}`],
    ["blanks", (text) => text.replace(",", ", ")],
    ["another order", (text) => swapFirstTwo(text)],
    ["a field too many", (text) => text.replace("}", ',"note":"x"}')],
    ["a field twice", (text) => text.replace('"serial":7', '"serial":8,"serial":7')],
    ["a field too few", (text) => text.replace('"serial":7,', "")],
    ["a number written otherwise", (text) => text.replace('"serial":7', '"serial":7.0')],
    ["a negative number", (text) => text.replace('"serial":7', '"serial":-7')],
    ["a text for a number", (text) => text.replace('"serial":7', '"serial":"7"')],
    [
      "capital digits",
      (text) => text.replace(statement.messageId, statement.messageId.toUpperCase()),
    ],
    ["an escape", (text) => text.replace("p11seal", "\\u0070" + "11seal")],
    ["another type", (text) => text.replace("receipt v1", "receipt v2")],
    ["another algorithm", (text) => text.replace("Ed25519", "RSA-PSS")],
    ["a list", (text) => `[${text.trimEnd()}]\n`],
    ["a signature without its padding", (text) => text.replace('=="}', '"}')],
    ["more than can be", (text) => text.replace("p11seal", "x".repeat(20_000))],
    ["bytes that are no text", (text) => text.replace("p11seal", "\ud800")],
  ])("with %s is not read", async (_, change) => {
    const text = textOf(await receiptOf("ed25519"));
    const changed = change(text);
    expect(changed).not.toBe(text);
    expect(() => verifyReceipt(ascii(changed))).toThrow(
      expect.objectContaining({ code: "ERR_RECEIPT" }),
    );
  });

  it("is not made with a key that signs for another one", async () => {
    const { key } = signer("p256");
    await expect(makeReceipt(statement, signer("ed25519").publicKey, key)).rejects.toMatchObject({
      code: "ERR_BAD_SIGNATURE",
    });
  });

  it("is not made of what is no statement", async () => {
    const { publicKey, key } = signer("ed25519");
    const wrong = { ...statement, serial: -1 };
    await expect(makeReceipt(wrong, publicKey, key)).rejects.toThrow(TypeError);
  });

  it("of the largest key fits", async () => {
    const receipt = await receiptOf("rsa4096");
    expect(verifyReceipt(receipt).receiver.type).toBe("rsa");
    // 8,192 bits double the modulus, once in the key and once in the signature.
    expect(receipt.length + 2 * toBase64(new Uint8Array(512)).length).toBeLessThan(16_384);
  });
});

function swapFirstTwo(text: string): string {
  const value = JSON.parse(text) as Record<string, unknown>;
  const { type, messageId, ...rest } = value;
  return `${JSON.stringify({ messageId, type, ...rest })}\n`;
}
