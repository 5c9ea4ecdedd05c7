/** Re-wrapping messages in p11seal's own format (docs/format.md §15): what is written, and what is
 * refused. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { concat, equal } from "../../src/bytes.js";
import type { RewrapOptions } from "../../src/envelope/rewrapping.js";
import { inspectMessage, openMessage, sealMessage } from "../../src/envelope/messages.js";
import { rewrapHeader, rewrapMessage } from "../../src/envelope/rewrap-message.js";
import type { Extension } from "../../src/envelope/native/header.js";
import { Reader } from "../../src/stream.js";
import { ext, headerBytes, holder, recips, stanza } from "../support/forge.js";
import { counting, identityOf, recipientOf, senderOf } from "../support/identities.js";
import {
  custodianOf,
  NOW_MS,
  openedText,
  PADDING,
  parsed,
  RECORD,
  rewrapped,
  sealed,
  TEXT,
  withExtensions,
} from "../support/rewrapped.js";
import { codeOf } from "../support/streams.js";

const SENDER = senderOf("ed25519");
const CUSTODIAN = custodianOf("p384");
const keyOf = (name: Parameters<typeof identityOf>[0]) => identityOf(name).publicKey;

/** The code with which re-wrapping is refused; `unlocks`: how often a key was used. */
async function refusal(whole: Uint8Array, options: Partial<RewrapOptions>) {
  const counted = counting(identityOf("x25519"));
  const all = { add: [], remove: [], nowMs: NOW_MS, ...options };
  const code = await codeOf(rewrapMessage(whole, { identities: [counted.identity], ...all }));
  return { code, unlocks: counted.unlocks };
}

describe("re-wrapping an unsigned message", () => {
  it("changes EXT, RECIPS and MAC, and no other byte", async () => {
    const whole = await sealed();
    const after = await rewrapped(whole, { remove: [keyOf("rsa2048")] });
    const [old, now] = [await parsed(whole), await parsed(after)];
    expect(equal(now.immutablePart, old.immutablePart)).toBe(true);
    const body = (bytes: Uint8Array, header: typeof old) =>
      bytes.subarray(header.transcript.length + header.mac.length);
    expect(equal(body(after, now), body(whole, old))).toBe(true);
    for (const name of ["x25519", "p256"] as const) {
      expect(equal(await openedText(after, name), TEXT)).toBe(true);
    }
    expect(await codeOf(openedText(after, "rsa2048"))).toBe("ERR_NO_MATCH");
  });

  it("keeps every other wrapped key byte for byte, and adds new ones after them", async () => {
    const whole = await sealed();
    const after = await rewrapped(whole, { add: [recipientOf("p256"), recipientOf("rsa2048")] });
    const [old, now] = [await parsed(whole), await parsed(after)];
    expect(now.stanzas.slice(0, 2)).toEqual(old.stanzas);
    expect(now.stanzas).toHaveLength(3);
  });

  it("wraps anew for a key that is both removed and added", async () => {
    const whole = await sealed();
    const remove = [keyOf("rsa2048")];
    const after = await rewrapped(whole, { add: [recipientOf("rsa2048", "sha1")], remove });
    const [old, now] = [await parsed(whole), await parsed(after)];
    expect(now.stanzas[0]).toEqual(old.stanzas[0]);
    expect(now.stanzas[1]).toMatchObject({ type: "rsa-oaep", hash: "sha1" });
    expect(equal(await openedText(after, "rsa2048"), TEXT)).toBe(true);
  });

  it("takes OAEP's hash from the options, or gives an RSA key without one two stanzas", async () => {
    const whole = await sealed();
    const add = [recipientOf("rsa3072")];
    const hashes = async (bytes: Uint8Array) =>
      (await parsed(bytes)).stanzas.slice(2).map((one) => one.type === "rsa-oaep" && one.hash);
    expect(await hashes(await rewrapped(whole, { add }))).toEqual(["sha256", "sha1"]);
    expect(await hashes(await rewrapped(whole, { add, oaep: "sha512" }))).toEqual(["sha512"]);
  });

  it("takes a header that was detached, and says what it replaces", async () => {
    const message = await sealMessage(TEXT, { recipients: [recipientOf("x25519")] });
    const { header, oldHeaderBytes, info, identity } = await rewrapMessage(message.header, {
      identities: [identityOf("x25519")],
      ...{ add: [recipientOf("p256")], remove: [], nowMs: NOW_MS },
    });
    expect(oldHeaderBytes).toBe(message.header.length);
    expect(info.messageId).toBe(message.messageId);
    expect(identity?.name).toBe("x25519.pem");
    const opened = await openMessage(message.body, {
      header,
      identities: [identityOf("p256")],
    });
    expect(equal(await opened.plaintext.bytes(), TEXT)).toBe(true);
  });

  it("reads nothing of the body", async () => {
    const whole = await sealed();
    const oldHeaderBytes = (await inspectMessage(whole)).headerBytes;
    const reader = new Reader(whole.subarray(0, oldHeaderBytes));
    const options = { add: [recipientOf("p256")], remove: [], nowMs: NOW_MS };
    const made = await rewrapHeader(reader, { identities: [identityOf("x25519")], ...options });
    expect(made.oldHeaderBytes).toBe(oldHeaderBytes);
    expect(reader.consumed).toBe(oldHeaderBytes);
  });

  it("is refused if the old header is not authentic, by stanza or by MAC", async () => {
    const whole = await sealed();
    const mac = (await parsed(whole)).transcript.length;
    for (const at of [mac, mac - 1]) {
      const bad = whole.slice();
      bad[at] = (bad[at] as number) ^ 1;
      expect(await refusal(bad, { add: [recipientOf("p256")] })).toEqual({
        ...{ code: "ERR_NOT_AUTHENTIC", unlocks: 1 },
      });
    }
  });

  it("is refused before a key is used if nobody or too many could open it", async () => {
    const whole = await sealed();
    const remove = [keyOf("x25519"), keyOf("rsa2048")];
    const nobody = { code: "ERR_NO_RECIPIENTS", unlocks: 0 };
    expect(await refusal(whole, { remove })).toEqual(nobody);
    expect((await refusal(whole, { add: [recipientOf("p256")], remove })).code).toBeUndefined();

    const stanzas = Array.from({ length: 1024 }, (_, i) => {
      const stranger = Buffer.alloc(14);
      stranger.writeUInt16BE(99);
      stranger.writeUInt32BE(i, 2);
      return stranger;
    });
    const full = headerBytes({ recips: recips([stanza(), ...stanzas.slice(1)]) });
    const rewrap = rewrapMessage(full, {
      identities: [holder],
      ...{ add: [recipientOf("p256")], remove: [], nowMs: NOW_MS },
    });
    expect(await codeOf(rewrap)).toBe("ERR_TOO_MANY_RECIPIENTS");
  });

  it("leaves a record that is true no more behind, and other programs' blocks in place", async () => {
    const whole = await rewrapped(await sealed(), { custodian: CUSTODIAN });
    const after = await rewrapped(whole, { add: [recipientOf("p384")] });
    expect((await parsed(after)).extensions.map(({ type }) => type)).toEqual([PADDING]);

    const strange = { type: 0x8123, body: Uint8Array.of(1, 2, 3) };
    const { header } = await rewrapMessage(headerBytes({ ext: ext(strange) }), {
      identities: [holder],
      ...{ add: [recipientOf("p256")], remove: [], custodian: CUSTODIAN, nowMs: NOW_MS },
    });
    const { extensions } = await parsed(header);
    expect(extensions.map(({ type }) => type)).toEqual([strange.type, RECORD, PADDING]);
    expect(extensions[0]).toEqual(strange);
  });

  it("is refused if other programs' blocks leave the record no room", async () => {
    const strange = { type: 0x8123, body: new Uint8Array(65_500) };
    const full = headerBytes({ ext: ext(strange) });
    const options = { identities: [holder], add: [], remove: [], nowMs: NOW_MS };
    const custodian = CUSTODIAN;
    expect(await codeOf(rewrapMessage(full, { ...options, custodian }))).toBe("ERR_HEADER_SIZE");
    // Padding is left out instead.
    const { header } = await rewrapMessage(full, options);
    expect(header).toHaveLength(full.length);
  });
});

describe("re-wrapping a signed message", () => {
  it("counts its generations, and names the header that each one replaced", async () => {
    const first = await rewrapped(await sealed(SENDER), { custodian: CUSTODIAN });
    const other = custodianOf("rsa3072");
    const second = await rewrapped(first, { add: [recipientOf("p521")], custodian: other });
    const info = await inspectMessage(second);
    expect(info.passedOn).toMatchObject({ generation: 2, addressees: 4 });
    const { transcript, immutablePart, mac } = await parsed(first);
    const replaced = concat(transcript.subarray(immutablePart.length), mac);
    const record = (await parsed(second)).extensions.find((one) => one.type === RECORD);
    const previous = createHash("sha256").update(replaced).digest();
    expect(Buffer.from((record as Extension).body).includes(previous)).toBe(true);
    expect(equal(await openedText(second, "p521"), TEXT)).toBe(true);
  });

  it("is refused without a custodian, before a key is used", async () => {
    const whole = await sealed(SENDER);
    const refused = { code: "ERR_CUSTODIAN", unlocks: 0 };
    expect(await refusal(whole, { add: [recipientOf("p256")] })).toEqual(refused);
  });

  it("is refused if the custodian's key is the sender's, a recipient's or was one", async () => {
    const whole = await sealed(SENDER);
    const refused = { code: "ERR_SAME_KEY", unlocks: 0 };
    const add = [recipientOf("p256")];
    expect(await refusal(whole, { add, custodian: SENDER })).toEqual(refused);
    expect(await refusal(whole, { add, custodian: custodianOf("p256") })).toEqual(refused);
    expect(await refusal(whole, { add, custodian: custodianOf("rsa2048") })).toEqual(refused);
    const remove = [keyOf("rsa2048")];
    expect(await refusal(whole, { add, remove, custodian: custodianOf("rsa2048") })).toEqual(
      refused,
    );
  });

  it("is refused if the sender's signing key is to receive", async () => {
    const whole = await sealed(senderOf("p256"));
    const options = { add: [recipientOf("p256")], custodian: CUSTODIAN };
    expect(await refusal(whole, options)).toEqual({ code: "ERR_SAME_KEY", unlocks: 0 });
  });

  it("is refused if its last addressee goes, whoever else has a wrapped key", async () => {
    const whole = await sealed(SENDER);
    const remove = [keyOf("x25519"), keyOf("rsa2048")];
    const custodian = CUSTODIAN;
    const refused = { code: "ERR_NO_RECIPIENTS", unlocks: 0 };
    expect(await refusal(whole, { remove, custodian })).toEqual(refused);
  });

  it("is refused to a receiver who takes no custodians, if another passed it on", async () => {
    const whole = await rewrapped(await sealed(SENDER), { custodian: CUSTODIAN });
    const options = { add: [recipientOf("p521")], custodian: CUSTODIAN };
    expect(await refusal(whole, options)).toEqual({ code: "ERR_REWRAPPED", unlocks: 0 });
  });
});

describe("the size of a header", () => {
  const sizeOf = async (whole: Uint8Array) => (await inspectMessage(whole)).headerBytes;

  it("is a multiple of 4,096 where it was sealed or re-wrapped so, and stays the same", async () => {
    const recipients = [recipientOf("x25519"), recipientOf("rsa2048", "sha256")];
    const padded = await sealMessage(TEXT, { recipients, padHeader: true });
    expect(padded.header).toHaveLength(4096);
    const whole = await padded.stream().bytes();
    const added = await rewrapped(whole);
    const removed = await rewrapped(added, { add: [], remove: [keyOf("rsa2048")] });
    expect([await sizeOf(added), await sizeOf(removed)]).toEqual([4096, 4096]);
    expect(await sizeOf(await rewrapped(await sealed(SENDER), { custodian: CUSTODIAN }))).toBe(
      4096,
    );
  });

  it("grows to the next multiple, and does not shrink again", async () => {
    const whole = await rewrapped(await sealed());
    const stranger = { type: 0x8200, body: new Uint8Array(4000) };
    const big = headerBytes({ ext: ext(stranger) });
    const grow = async (header: Uint8Array, options: Partial<RewrapOptions>) =>
      (
        await rewrapMessage(header, {
          identities: [holder],
          ...{ add: [], remove: [], nowMs: NOW_MS, ...options },
        })
      ).header;
    const grown = await grow(big, { add: [recipientOf("p256")] });
    expect(grown).toHaveLength(8192);
    expect(await grow(grown, { remove: [keyOf("p256")] })).toHaveLength(8192);
    expect(await sizeOf(whole)).toBe(4096);
  });

  it("takes another 4,096 bytes where a gap is too small for a block", async () => {
    const base = headerBytes().length + 6;
    for (const gap of [0, 1, 5, 6, 7]) {
      const stranger = { type: 0x8200, body: new Uint8Array(4096 - gap - base) };
      const header = headerBytes({ ext: ext(stranger) });
      expect(header).toHaveLength(4096 - gap);
      const made = await rewrapMessage(header, {
        identities: [holder],
        ...{ add: [], remove: [], nowMs: NOW_MS },
      });
      expect([gap, made.header.length]).toEqual([gap, gap > 0 && gap < 6 ? 8192 : 4096]);
      expect(made.header.length).toBe((await inspectMessage(made.header)).headerBytes);
    }
  });
});

describe("padding", () => {
  const bad = async (change: (extensions: readonly Extension[]) => readonly Extension[]) =>
    codeOf(inspectMessage(await withExtensions(await rewrapped(await sealed()), change)));

  it("holds nothing but zeros, and nothing follows it", async () => {
    const other = { type: 0x8200, body: new Uint8Array(1) };
    const marked = { type: PADDING, body: Uint8Array.of(0, 0, 1) };
    expect(await bad((all) => all)).toBeUndefined();
    expect(await bad((all) => [...all, other])).toBe("ERR_HEADER");
    expect(await bad((all) => [...all, ...all])).toBe("ERR_HEADER");
    expect(await bad(() => [marked])).toBe("ERR_HEADER");
    expect(await bad(() => [{ type: PADDING, body: new Uint8Array(0) }])).toBeUndefined();
  });
});

describe("a hash of rules", () => {
  it("is under the sender's signature, and shown to everybody", async () => {
    const rulesHash = new Uint8Array(32).fill(0xab);
    const whole = await sealed({ ...SENDER, rulesHash });
    const shown = "ab".repeat(32);
    expect((await inspectMessage(whole)).sender?.rulesHash).toBe(shown);
    const opened = await openMessage(whole, { identities: [identityOf("x25519")] });
    expect(opened.sender?.rulesHash).toBe(shown);
    const altered = whole.slice();
    altered[Buffer.from(whole).indexOf(rulesHash)] = 0;
    expect(await codeOf(openedText(altered, "x25519"))).toBe("ERR_SENDER_SIGNATURE");
  });

  it("has 32 bytes", async () => {
    const sender = { ...SENDER, rulesHash: new Uint8Array(31) };
    await expect(sealed(sender)).rejects.toThrow(RangeError);
    const custodian = CUSTODIAN;
    const whole = await sealed(SENDER);
    await expect(rewrapped(whole, { custodian, rulesHash: new Uint8Array(33) })).rejects.toThrow(
      RangeError,
    );
  });
});
