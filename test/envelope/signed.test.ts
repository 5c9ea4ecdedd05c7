import { beforeAll, describe, expect, it } from "@jest/globals";
import { concat, u16, u32 } from "../../src/bytes.js";
import {
  encodeExtensions,
  encodeSignature,
  encodeSignedPart,
  encodeTranscript,
  readHeader,
  type ParsedHeader,
} from "../../src/envelope/native/header.js";
import {
  inspectMessage,
  openMessage,
  sealMessage,
  verifySender,
} from "../../src/envelope/messages.js";
import type { Sender } from "../../src/envelope/seal-options.js";
import type { Identity } from "../../src/keys/key.js";
import { Reader } from "../../src/stream.js";
import { FULL, SEG_LOG2 } from "../support/forge.js";
import { counting, identityOf, recipientOf, senderOf } from "../support/identities.js";
import { codeOf, DELIVERIES, readAll } from "../support/streams.js";
import { sign } from "../support/private-key.js";

const SENDERS = ["p256", "p384", "rsa3072", "ed25519"] as const;
const text = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 3) & 0xff);
const parts = [text(FULL), text(FULL).reverse(), text(50)];
const plaintext = concat(...parts);

const recipients = [recipientOf("rsa2048", "sha256"), recipientOf("x25519")];

async function seal(sender: Sender): Promise<{ header: Uint8Array; whole: Uint8Array }> {
  const sealed = await sealMessage(plaintext, { recipients, segLog2: SEG_LOG2, sender });
  return { header: sealed.header, whole: await sealed.stream().bytes() };
}

async function open(whole: Uint8Array, identity: Identity = identityOf("x25519")) {
  const opened = await openMessage(whole, { identities: [identity] });
  return { ...opened, bytes: await opened.plaintext.bytes() };
}

const parse = (bytes: Uint8Array) => readHeader(new Reader(bytes));

describe.each(SENDERS)("a message signed with %s", (name) => {
  let header: Uint8Array;
  let whole: Uint8Array;
  beforeAll(async () => {
    ({ header, whole } = await seal(senderOf(name)));
  });

  it("opens as it was, with its sender, however it is delivered", async () => {
    for (const [, deliver] of DELIVERIES) {
      const opened = await openMessage(deliver(whole), { identities: [identityOf("x25519")] });
      expect(Buffer.compare(await opened.plaintext.bytes(), plaintext)).toBe(0);
      expect(opened.sender).toMatchObject({
        keyId: Buffer.from(senderOf(name).publicKey.fingerprint).toString("hex"),
        streamId: "5e".repeat(16),
        serial: 7,
        createdMs: Date.UTC(2026, 0, 2, 3, 4, 5),
        recipientsIntact: true,
      });
    }
  });

  it("has a header that encodes to the bytes it was read from", async () => {
    const parsed = await parse(header);
    expect(Buffer.compare(encodeTranscript(parsed), header.subarray(0, -32))).toBe(0);
  });

  it("shows its sender to anyone, and whether the signature holds", async () => {
    expect((await inspectMessage(whole)).sender).toMatchObject({
      serial: 7,
      addressees: 2,
      signature: "holds",
      recipientsIntact: true,
    });
    expect((await verifySender(whole))?.serial).toBe(7);
  });

  it("is refused with one bit of CORE or SIG changed, before any key is looked for", async () => {
    const { immutablePart } = await parse(header);
    for (let at = 16; at < immutablePart.length; at++) {
      const counted = counting(identityOf("x25519"));
      let looked = 0;
      const identities = () => {
        looked++;
        return Promise.resolve([counted.identity]);
      };
      const code = await codeOf(openMessage(flipped(whole, at), { identities }));
      const known = ["ERR_SENDER_SIGNATURE", "ERR_HEADER", "ERR_TRUNCATED", "ERR_EXTENSION"];
      expect([at, known.includes(code ?? "") ? "refused" : code]).toEqual([at, "refused"]);
      expect([looked, counted.unlocks]).toEqual([0, 0]);
    }
  });
});

describe("a signed message", () => {
  let header: Uint8Array;
  let whole: Uint8Array;
  let parsed: ParsedHeader;
  beforeAll(async () => {
    ({ header, whole } = await seal(senderOf("ed25519")));
    parsed = await parse(header);
  });

  it("is refused with one bit of its wrapped keys changed, before one is used", async () => {
    const from = header.length - 32 - parsed.recipsBlock.length;
    for (let at = from; at < header.length - 32; at++) {
      const counted = counting(identityOf("x25519"));
      const code = await codeOf(
        openMessage(flipped(whole, at), { identities: [counted.identity] }),
      );
      const known = ["ERR_REWRAPPED", "ERR_HEADER", "ERR_TRUNCATED"];
      expect([at, known.includes(code ?? "") ? "refused" : code]).toEqual([at, "refused"]);
      expect(counted.unlocks).toBe(0);
    }
  });

  it("is refused with one bit of its trailer changed, and its last segment stays inside", async () => {
    for (let at = whole.length - 64; at < whole.length; at++) {
      const { plaintext: stream } = await openMessage(flipped(whole, at), {
        identities: [identityOf("x25519")],
      });
      const { bytes, error } = await readAll(stream);
      expect(error).toMatchObject({ name: "AuthenticationError", code: "ERR_TRAILER" });
      expect(bytes.length).toBe(2 * FULL);
      expect(await codeOf(verifySender(flipped(whole, at)))).toBe("ERR_TRAILER");
    }
  });

  it("cut anywhere in its body is refused, by its reader and by somebody who only checks the sender", async () => {
    const bodyAt = header.length;
    for (
      let length = bodyAt;
      length < whole.length;
      length += length > whole.length - 80 ? 1 : 61
    ) {
      const cut = whole.subarray(0, length);
      expect(await codeOf(verifySender(cut))).toBe("ERR_TRUNCATED");
      expect(await codeOf(open(cut))).toBe("ERR_TRUNCATED");
    }
    const longer = concat(whole, Uint8Array.of(0));
    expect(await codeOf(verifySender(longer))).toBe("ERR_TRAILING");
    expect(await codeOf(open(longer))).toBe("ERR_TRAILING");
  });

  it("is checked against its sender without any key, down to every byte of its body", async () => {
    for (let at = header.length; at < whole.length - 64; at += 97) {
      const code = await codeOf(verifySender(flipped(whole, at)));
      expect(["ERR_TRAILER", "ERR_SEGMENT", "ERR_TRUNCATED"]).toContain(code);
    }
  });

  it("is not believed when its policy says no: no key is looked for", async () => {
    const counted = counting(identityOf("x25519"));
    const refused = new Error("never heard of them");
    const seen: unknown[] = [];
    const authenticate = (sender: unknown) => {
      seen.push(sender);
      return Promise.reject(refused);
    };
    const identities = () => Promise.reject(new Error("looked for keys"));
    await expect(openMessage(whole, { identities, authenticate })).rejects.toBe(refused);
    await expect(openMessage(whole, { identities: [counted.identity], authenticate })).rejects.toBe(
      refused,
    );
    expect(counted.unlocks).toBe(0);
    expect(seen).toMatchObject([{ serial: 7 }, { serial: 7 }]);
  });

  it("calls the policy even if there is no sender", async () => {
    const unsigned = await (await sealMessage(plaintext, { recipients })).stream().bytes();
    const seen: unknown[] = [];
    const authenticate = (sender: unknown) => Promise.resolve(void seen.push(sender));
    await openMessage(unsigned, { identities: [identityOf("x25519")], authenticate });
    expect(seen).toEqual([undefined]);
    expect(await verifySender(unsigned)).toBeUndefined();
  });
});

describe("sealing with a sender", () => {
  const bad: [string, Partial<Sender>][] = [
    ["a stream id of 15 bytes", { streamId: new Uint8Array(15) }],
    ["a serial below zero", { serial: -1 }],
    ["half a serial", { serial: 0.5 }],
    ["a serial beyond 2^53", { serial: 2 ** 53 }],
    ["no time", { createdMs: Number.NaN }],
    ["half a millisecond", { createdMs: 1.5 }],
    ["no end", { expiresMs: Infinity }],
  ];

  it.each(bad)(
    "that claims %s makes no message, rather than one nobody can read",
    async (_what, claim) => {
      const sender = { ...senderOf("ed25519"), ...claim };
      await expect(sealMessage(plaintext, { recipients, sender })).rejects.toThrow(RangeError);
    },
  );

  it("keeps the ends of its claims' ranges", async () => {
    const sender = {
      ...senderOf("ed25519"),
      serial: 0,
      createdMs: 0,
      expiresMs: Number.MAX_SAFE_INTEGER,
    };
    const { whole } = await seal(sender);
    expect((await open(whole)).sender).toMatchObject({
      serial: 0,
      createdMs: 0,
      expiresMs: sender.expiresMs,
    });
  });

  it("whose key is also a recipient's is refused", async () => {
    const both = [recipientOf("p256")];
    await expect(
      sealMessage(plaintext, { recipients: both, sender: senderOf("p256") }),
    ).rejects.toMatchObject({ name: "PolicyError", code: "ERR_SAME_KEY" });
  });

  it("whose key signs wrongly makes no message", async () => {
    const { publicKey } = senderOf("ed25519");
    const liars: Sender["key"][] = [
      senderOf("p384").key,
      { publicKey, sign: () => Promise.resolve(new Uint8Array(64)) },
      { publicKey, sign: () => Promise.resolve(new Uint8Array(0)) },
    ];
    for (const key of liars) {
      const sender = { ...senderOf("ed25519"), key };
      await expect(sealMessage(plaintext, { recipients, sender })).rejects.toMatchObject({
        name: "TokenError",
        code: "ERR_BAD_SIGNATURE",
      });
    }
  });

  it("signs once, at the start, whatever the length of the message", async () => {
    let signatures = 0;
    const { key } = senderOf("ed25519");
    const sender = {
      ...senderOf("ed25519"),
      key: { ...key, sign: (message: Uint8Array) => (signatures++, sign(key, message)) },
    };
    const sealed = await sealMessage(plaintext, { recipients, sender, segLog2: SEG_LOG2 });
    expect(signatures).toBe(1);
    await sealed.stream().bytes();
    expect(signatures).toBe(1);
  });
});

describe("the signature's block", () => {
  let parsed: ParsedHeader;
  beforeAll(async () => {
    parsed = await parse((await seal(senderOf("ed25519"))).header);
  });
  const withBlock = (sig: Uint8Array) =>
    concat(parsed.signedPart, sig, encodeExtensions([]), parsed.recipsBlock, new Uint8Array(32));

  it("of an empty key and signature is well formed, as far as it goes", async () => {
    const sig = concat(u32(6), u16(4), u16(0), u16(0));
    expect(await codeOf(parse(withBlock(sig)))).toBeUndefined();
  });

  it.each([
    ["no bytes", u32(0)],
    ["half an algorithm", concat(u32(1), Uint8Array.of(0))],
    ["a key longer than it", concat(u32(4), u16(4), u16(1))],
    ["no signature's length", concat(u32(5), u16(4), u16(1), Uint8Array.of(9))],
    ["a signature longer than it", concat(u32(6), u16(4), u16(0), u16(1))],
    ["a byte after the signature", concat(u32(7), u16(4), u16(0), u16(0), Uint8Array.of(0))],
  ])("of %s is not well formed", async (_what, sig) => {
    expect(await codeOf(parse(withBlock(sig)))).toBe("ERR_HEADER");
  });

  it.each([
    ["no addressees", []],
    ["an addressee of 31 bytes", [new Uint8Array(31)]],
    ["1,025 addressees", new Array<Uint8Array>(1025).fill(new Uint8Array(32))],
  ])("after claims of %s is not reached", async (_what, addressees) => {
    const { messageId, claims } = parsed.core;
    if (claims === undefined) throw new Error("claims were expected");
    const signedPart = encodeSignedPart(SEG_LOG2, { messageId, claims: { ...claims, addressees } });
    const rest = [encodeSignature(parsed.signature), encodeExtensions([]), parsed.recipsBlock];
    expect(await codeOf(parse(concat(signedPart, ...rest, parsed.mac)))).toBe("ERR_HEADER");
  });

  it("of 16,384 bytes is read, and 1,024 addressees are; of a byte more it is not", async () => {
    const { messageId, claims } = parsed.core;
    if (claims === undefined) throw new Error("claims were expected");
    const addressees = new Array<Uint8Array>(1024).fill(new Uint8Array(32));
    const signedPart = encodeSignedPart(SEG_LOG2, { messageId, claims: { ...claims, addressees } });
    for (const length of [16_384, 16_385]) {
      const signature = new Uint8Array(length - 6);
      const sig = concat(u32(length), u16(4), u16(0), u16(signature.length), signature);
      const bytes = concat(signedPart, sig, encodeExtensions([]), parsed.recipsBlock, parsed.mac);
      expect(await codeOf(parse(bytes))).toBe(length > 16_384 ? "ERR_HEADER" : undefined);
      if (length > 16_384) continue;
      expect(Buffer.compare(encodeTranscript(await parse(bytes)), bytes.subarray(0, -32))).toBe(0);
    }
  });
});

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] as number) ^ (1 << (at & 7));
  return copy;
}
