/**
 * Re-wrapping through a token: it undoes the custodian's wrapped key, and signs the record with
 * another of its keys.
 */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { equal } from "../../src/bytes.js";
import { sealMessage } from "../../src/envelope/messages.js";
import { rewrapMessage } from "../../src/envelope/rewrap-message.js";
import type { TokenAccess } from "../../src/token/access.js";
import { parseUri } from "../../src/token/uri.js";
import type { KeyType, KeyInfo } from "../../src/token/values.js";
import { identityOf, recipientOf, senderOf } from "../support/identities.js";
import { NOW_MS, openedText, rewrapped, TEXT } from "../support/rewrapped.js";
import { freshToken, softHsmAccess, type TestToken } from "../support/softhsm.js";
import { codeOf } from "../support/streams.js";

let token: TestToken;
let access: TokenAccess;
const trace: string[] = [];

beforeAll(async () => {
  token = await freshToken("custodian");
  access = softHsmAccess({ trace: (line) => trace.push(line) });
});

afterAll(async () => {
  await access.close();
});

async function made(type: KeyType, use: "exchange" | "sign"): Promise<KeyInfo> {
  const info = await access.findToken(parseUri(token.uri));
  const label = `${use} ${type}`;
  return (await access.generate(info, { type, label, use, allowDecrypt: false })).key;
}

describe("a custodian with both keys on a token", () => {
  it.each<[KeyType, KeyType]>([
    ["rsa:2048", "ec:p256"],
    ["ec:p384", "rsa:2048"],
    ["x25519", "ed25519"],
  ])("passes a message to %s on, under a signature with %s", async (opens, signs) => {
    const mine = access.identity(await made(opens, "exchange"));
    const signer = access.identity(await made(signs, "sign"), "sign");
    const custodian = { publicKey: signer.publicKey, key: await signer.unlock() };
    const publicKey = mine.publicKey;
    const sealed = await sealMessage(TEXT, {
      recipients: [{ publicKey, oaep: "sha1" }, recipientOf("x25519")],
      sender: senderOf("ed25519"),
    });
    const whole = await sealed.stream().bytes();

    trace.length = 0;
    const after = await rewrapped(whole, { identities: [mine], custodian });
    // One operation each: one key opens, the other signs.
    const uses = trace.filter((line) => !line.startsWith("plan: "));
    expect(uses).toEqual([
      expect.stringMatching(/^unwrap: C_(?:UnwrapKey|DeriveKey) /),
      expect.stringMatching(/^sign: C_Sign /),
    ]);
    expect(equal(await openedText(after, "p256"), TEXT)).toBe(true);
    expect(equal(await openedText(after, "p256"), TEXT)).toBe(true);

    // What can be refused without a key is refused before the token hears of it.
    trace.length = 0;
    const nobody = rewrapMessage(whole, {
      ...{ identities: [mine], custodian, nowMs: NOW_MS, add: [] },
      remove: [publicKey, identityOf("x25519").publicKey],
    });
    expect(await codeOf(nobody)).toBe("ERR_NO_RECIPIENTS");
    expect(trace).toEqual([]);
  });
});
