/**
 * Messages that a custodian re-wrapped (docs/format.md §6.1, §13): what a reader takes, and that it
 * refuses the rest before a key is used.
 */
import { beforeAll, describe, expect, it } from "@jest/globals";
import { concat, equal, toHex, u32 } from "../../src/bytes.js";
import type { PassedOn, SenderInfo } from "../../src/envelope/message-info.js";
import { inspectMessage, openMessage, verifySender } from "../../src/envelope/messages.js";
import type { Extension } from "../../src/envelope/native/header.js";
import { sha256 } from "../../src/envelope/native/signature.js";
import { PolicyError } from "../../src/errors.js";
import { counting, identityOf, recipientOf, senderOf } from "../support/identities.js";
import {
  allowed,
  custodianOf,
  NOW_MS,
  openedText,
  parsed,
  RECORD,
  recordFor,
  rewrapped,
  sealed,
  tagIn,
  TEXT,
  withExtensions,
} from "../support/rewrapped.js";
import { codeOf } from "../support/streams.js";

const SENDER = senderOf("ed25519");
const CUSTODIAN = custodianOf("p384");
const RULES = new Uint8Array(32).fill(0xab);

let original: Uint8Array;
/** Passed on to P-256, and taken from RSA-2048. */
let passed: Uint8Array;
beforeAll(async () => {
  original = await sealed(SENDER);
  passed = await rewrapped(original, {
    remove: [identityOf("rsa2048").publicKey],
    custodian: CUSTODIAN,
    rulesHash: RULES,
  });
});

/** The refusal's code and class; a key must not have been used. */
async function refusal(whole: Uint8Array): Promise<string> {
  const counted = counting(identityOf("p256"));
  const refused = await openMessage(whole, {
    ...{ identities: [counted.identity], passedOn: allowed() },
  }).then(
    () => "opened",
    (error: unknown) => (error instanceof PolicyError ? error.code : String(error)),
  );
  expect(counted.unlocks).toBe(0);
  return refused;
}

const altered = (change: (record: Extension) => readonly Extension[]) =>
  withExtensions(passed, (all) =>
    all.flatMap((one) => (one.type === RECORD ? change(one) : [one])),
  );

const body = ({ type }: Extension, ...parts: Uint8Array[]): Extension => ({
  type,
  body: concat(...parts),
});

/** The fields of a record, as they are signed, and what follows them. */
function partsOf({ body: bytes }: Extension): { fields: Uint8Array; sig: Uint8Array } {
  const length = Buffer.from(bytes).readUInt32BE();
  return { fields: bytes.subarray(4, 4 + length), sig: bytes.subarray(4 + length) };
}

describe("a signed message that a custodian passed on", () => {
  it("opens for its new recipients, once the receiver has taken the custodian", async () => {
    const order: string[] = [];
    let record: PassedOn | undefined;
    let seen: SenderInfo | undefined;
    const opened = await openMessage(passed, {
      passedOn: (one, sender) => {
        order.push("passedOn");
        [record, seen] = [one, sender];
        return Promise.resolve();
      },
      authenticate: async () => {
        await Promise.resolve();
        order.push("authenticate");
      },
      identities: () => {
        order.push("identities");
        return Promise.resolve([identityOf("p256")]);
      },
    });
    expect(equal(await opened.plaintext.bytes(), TEXT)).toBe(true);
    expect(order).toEqual(["passedOn", "authenticate", "identities"]);
    expect(record).toEqual({
      publicKey: CUSTODIAN.publicKey,
      keyId: toHex(CUSTODIAN.publicKey.fingerprint),
      rewrappedMs: NOW_MS,
      generation: 1,
      addressees: 2,
      rulesHash: toHex(RULES),
    });
    expect(seen).toMatchObject({ keyId: toHex(SENDER.publicKey.fingerprint) });
    expect(opened.sender).toMatchObject({ recipientsIntact: false, passedOn: record });
  });

  it("opens for those who stay, and not for those who were removed", async () => {
    expect(equal(await openedText(passed, "x25519"), TEXT)).toBe(true);
    expect(await codeOf(openedText(passed, "rsa2048"))).toBe("ERR_NO_MATCH");
  });

  it("is refused unless the receiver takes custodians, and this one", async () => {
    const counted = counting(identityOf("p256"));
    const identities = [counted.identity];
    let asked = 0;
    const authenticate = async () => {
      await Promise.resolve();
      asked++;
    };
    const without = openMessage(passed, { identities, authenticate });
    await expect(without).rejects.toMatchObject({ name: "PolicyError", code: "ERR_REWRAPPED" });
    const passedOn = () => Promise.reject(new PolicyError("ERR_TEST", "not this one"));
    expect(await codeOf(openMessage(passed, { identities, authenticate, passedOn }))).toBe(
      "ERR_TEST",
    );
    expect({ asked, unlocks: counted.unlocks }).toEqual({ asked: 0, unlocks: 0 });
  });

  it("shows to everybody who sealed it and who passed it on", async () => {
    const info = await inspectMessage(passed);
    const keyId = toHex(CUSTODIAN.publicKey.fingerprint);
    expect(info.passedOn).toMatchObject({ keyId, generation: 1, addressees: 2 });
    expect(info.sender).toMatchObject({
      signature: "holds",
      recipientsIntact: false,
      addressees: 2,
      passedOn: { keyId },
    });
    expect(await verifySender(passed)).toMatchObject({ passedOn: { keyId, generation: 1 } });
  });

  it("is the sender's again once its recipients are the sender's own", async () => {
    const added = await rewrapped(original, { custodian: CUSTODIAN });
    const remove = [identityOf("p256").publicKey];
    const back = await rewrapped(added, { add: [], remove, custodian: CUSTODIAN });
    const opened = await openMessage(back, { identities: [identityOf("rsa2048")] });
    expect(equal(await opened.plaintext.bytes(), TEXT)).toBe(true);
    expect(opened.sender?.recipientsIntact).toBe(true);
    expect(opened.sender?.passedOn).toBeUndefined();
    expect(opened.info.passedOn?.generation).toBe(2);
  });
});

describe("a record", () => {
  it("holds without rules", async () => {
    const record = await recordFor(passed, CUSTODIAN);
    const taken = await withExtensions(passed, () => [record]);
    // What follows is the MAC, of other bytes.
    expect(await codeOf(openedText(taken, "p256"))).toBe("ERR_NOT_AUTHENTIC");
  });

  it("with any bit of its fields or signature flipped is refused before a key is used", async () => {
    const header = await parsed(passed);
    const record = header.extensions.find(({ type }) => type === RECORD) as Extension;
    for (let at = 0; at < record.body.length; at += 3) {
      const flipped = record.body.slice();
      flipped[at] = (flipped[at] as number) ^ 0x10;
      const bad = await altered((one) => [body(one, flipped)]);
      expect([at, await refusal(bad)]).toEqual([at, "ERR_REWRAP_RECORD"]);
      const info = await inspectMessage(bad);
      expect(info.passedOn ?? info.sender?.passedOn).toBeUndefined();
      expect(info.recordFault).toContain("does not hold");
      expect(await codeOf(verifySender(bad))).toBe("ERR_REWRAP_RECORD");
    }
  });

  it.each([
    ["rewrappedMs", { rewrappedMs: NOW_MS + 1 }],
    ["custodianKeyId", { custodianKeyId: new Uint8Array(32) }],
    ["generation", { generation: 2 }],
    ["previous", { previous: new Uint8Array(32).fill(1) }],
    ["addressees", { addressees: [new Uint8Array(32)] }],
    ["recipsHash", { recipsHash: new Uint8Array(32) }],
    ["rulesHash", { rulesHash: new Uint8Array(32) }],
  ])("under a signature over another %s is refused", async (_, change) => {
    const good = partsOf(await recordFor(passed, CUSTODIAN, { rulesHash: RULES }));
    const other = partsOf(await recordFor(passed, CUSTODIAN, { rulesHash: RULES, ...change }));
    const bad = await altered((one) => [
      body(one, u32(other.fields.length), other.fields, good.sig),
    ]);
    expect(await refusal(bad)).toBe("ERR_REWRAP_RECORD");
  });

  it("of another message, even of the same recipients, is refused", async () => {
    const other = await rewrapped(await sealed(SENDER), { custodian: CUSTODIAN });
    const { extensions } = await parsed(other);
    const bad = await withExtensions(passed, () => extensions);
    expect(await refusal(bad)).toBe("ERR_REWRAP_RECORD");
    const header = await parsed(passed);
    const addressees = [tagIn(header, identityOf("p256").publicKey)];
    const fields = { recipsHash: sha256(header.recipsBlock), addressees };
    const named = await recordFor(other, CUSTODIAN, fields);
    expect(await refusal(await altered(() => [named]))).toBe("ERR_REWRAP_RECORD");
  });

  it("that names other recipients is refused: of another generation, or the sender's", async () => {
    const more = await rewrapped(passed, { add: [recipientOf("p521")], custodian: CUSTODIAN });
    const { extensions } = await parsed(passed);
    expect(await refusal(await withExtensions(more, () => extensions))).toBe("ERR_REWRAP_RECORD");
    expect(await refusal(await withExtensions(original, () => extensions))).toBe(
      "ERR_REWRAP_RECORD",
    );
  });

  it("given twice is refused, even the same one", async () => {
    expect(await refusal(await altered((one) => [one, one]))).toBe("ERR_REWRAP_RECORD");
  });

  it("missing is refused as ever", async () => {
    expect(await refusal(await altered(() => []))).toBe("ERR_REWRAPPED");
  });

  it.each([
    ["empty", () => [new Uint8Array(0)]],
    ["with a byte after it", (f: Uint8Array, s: Uint8Array) => [u32(f.length), f, s, u32(0)]],
    ["whose fields are longer than it", (f: Uint8Array, s: Uint8Array) => [u32(9999), f, s]],
    ["without a signature", (f: Uint8Array) => [u32(f.length), f]],
    ["whose signature is empty", (f: Uint8Array) => [u32(f.length), f, u32(0)]],
    ["that is no CBOR", (_: Uint8Array, s: Uint8Array) => [u32(1), Uint8Array.of(0xff), s]],
    ["that is no map", (_: Uint8Array, s: Uint8Array) => [u32(1), Uint8Array.of(0x80), s]],
  ])("%s is refused", async (_, make) => {
    const bad = await altered((one) => {
      const { fields, sig } = partsOf(one);
      return [body(one, ...make(fields, sig))];
    });
    expect(await refusal(bad)).toBe("ERR_REWRAP_RECORD");
  });

  it.each([
    ["generation 0", { generation: 0 }],
    ["no addressee", { addressees: [] }],
    ["a hash of 31 bytes", { previous: new Uint8Array(31) }],
  ])("with %s is refused, though its signature holds", async (_, change) => {
    const record = await recordFor(passed, CUSTODIAN, change);
    expect(await refusal(await altered(() => [record]))).toBe("ERR_REWRAP_RECORD");
  });

  it("whose addressees leave the reader out is refused, whoever has a wrapped key", async () => {
    const addressees = [new Uint8Array(32)];
    const record = await recordFor(passed, CUSTODIAN, { addressees });
    expect(await refusal(await altered(() => [record]))).toBe("ERR_NOT_ADDRESSEE");
  });

  it("by the key of a recipient, an addressee, or the sender is refused", async () => {
    const header = await parsed(passed);
    const recipient = custodianOf("p256");
    const byRecipient = await recordFor(passed, recipient);
    expect(await refusal(await altered(() => [byRecipient]))).toBe("ERR_SAME_KEY");

    const addressees = [
      tagIn(header, CUSTODIAN.publicKey),
      tagIn(header, identityOf("p256").publicKey),
    ];
    const byAddressee = await recordFor(passed, CUSTODIAN, { addressees });
    expect(await refusal(await altered(() => [byAddressee]))).toBe("ERR_SAME_KEY");

    // RSA-2048 was the sender's addressee, and is no recipient any more.
    const byFormer = await recordFor(passed, custodianOf("rsa2048"));
    expect(await refusal(await altered(() => [byFormer]))).toBe("ERR_SAME_KEY");

    const bySender = await recordFor(passed, SENDER);
    expect(await refusal(await altered(() => [bySender]))).toBe("ERR_SAME_KEY");
  });

  it("that passes the message on to the sender's signing key is refused", async () => {
    const header = await parsed(passed);
    const addressees = [
      tagIn(header, SENDER.publicKey),
      tagIn(header, identityOf("p256").publicKey),
    ];
    const record = await recordFor(passed, CUSTODIAN, { addressees });
    expect(await refusal(await altered(() => [record]))).toBe("ERR_SAME_KEY");
  });
});

describe("an unsigned message with a record", () => {
  it("opens without asking, and shows whose record it is", async () => {
    const whole = await rewrapped(await sealed(), { custodian: CUSTODIAN });
    const opened = await openMessage(whole, { identities: [identityOf("p256")] });
    expect(equal(await opened.plaintext.bytes(), TEXT)).toBe(true);
    expect(opened.sender).toBeUndefined();
    const keyId = toHex(CUSTODIAN.publicKey.fingerprint);
    expect(opened.info.passedOn).toMatchObject({ keyId, generation: 1, addressees: 3 });
    expect((await inspectMessage(whole)).passedOn).toEqual(opened.info.passedOn);
  });

  it("is refused if the record does not hold, or names addressees", async () => {
    const whole = await rewrapped(await sealed(), { custodian: CUSTODIAN });
    const { recipsBlock } = await parsed(whole);
    const other = await recordFor(passed, CUSTODIAN, { recipsHash: sha256(recipsBlock) });
    const named = await recordFor(whole, CUSTODIAN);
    for (const record of [other, named]) {
      expect(await refusal(await withExtensions(whole, () => [record]))).toBe("ERR_REWRAP_RECORD");
    }
  });
});
