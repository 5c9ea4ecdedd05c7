import { describe, expect, it } from "@jest/globals";
import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { concat, toHex } from "../../src/bytes.js";
import { inspectMessage, openMessage, sealMessage } from "../../src/envelope/messages.js";
import type { Identity } from "../../src/keys/key.js";
import { collect, type ByteSource } from "../../src/stream.js";
import { FULL, SEG_LOG2 } from "../support/forge.js";
import { identityOf, recipientOf, type ExchangeKeyName } from "../support/identities.js";
import { EXCHANGE_KEY_NAMES } from "../support/keys.js";
import { byByte, DELIVERIES, EndlessSource, failingAfter, inSteps } from "../support/streams.js";

const text = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

async function seal(plaintext: ByteSource, ...names: ExchangeKeyName[]): Promise<Uint8Array> {
  const recipients = names.map((name) => recipientOf(name));
  const sealed = await sealMessage(plaintext, { recipients, segLog2: SEG_LOG2 });
  return sealed.stream().bytes();
}

async function open(sealed: ByteSource, ...identities: Identity[]): Promise<Uint8Array> {
  return (await openMessage(sealed, { identities })).plaintext.bytes();
}

const sizes = [
  ["nothing", 0],
  ["one byte", 1],
  ["a segment less one byte", FULL - 1],
  ["a segment", FULL],
  ["a segment and a byte", FULL + 1],
  ["two segments less one byte", 2 * FULL - 1],
  ["two segments", 2 * FULL],
  ["two segments and a byte", 2 * FULL + 1],
  ["three segments", 3 * FULL],
] as const;

describe.each(sizes)("a message of %s", (_name, size) => {
  const plaintext = text(size);
  const segments = Math.max(1, Math.ceil(size / FULL));

  it.each(EXCHANGE_KEY_NAMES)("sealed to %s opens as it was", async (to) => {
    const sealed = await seal(inSteps(plaintext, 600), to);
    const { headerBytes } = await inspectMessage(sealed);
    expect(sealed.length).toBe(headerBytes + 74 + size + 32 * segments);
    expect(Buffer.compare(await open(inSteps(sealed, 600), identityOf(to)), plaintext)).toBe(0);
  });

  it.each(DELIVERIES)(
    "opens as it was, sealed from and opened from bytes %s",
    async (_how, deliver) => {
      const sealed = await seal(deliver(plaintext), "x25519");
      expect(Buffer.compare(await open(deliver(sealed), identityOf("x25519")), plaintext)).toBe(0);
    },
  );

  it("is delivered a segment at a time, each no later than it must be", async () => {
    const sealed = await seal(plaintext, "x25519");
    const opened = await openMessage(sealed, { identities: [identityOf("x25519")] });
    const lengths: number[] = [];
    for await (const chunk of opened.plaintext) lengths.push(chunk.length);
    const last = size - (segments - 1) * FULL;
    expect(lengths).toEqual([...new Array<number>(segments - 1).fill(FULL), last]);
  });
});

describe("the size of segments", () => {
  it.each([12, 13, 18, 22])("2^%i is what the message says and what it has", async (segLog2) => {
    const recipients = [recipientOf("p256")];
    const plaintext = text(10_000);
    const sealed = await (await sealMessage(plaintext, { recipients, segLog2 })).stream().bytes();
    expect((await inspectMessage(sealed)).segmentBytes).toBe(2 ** segLog2);
    expect(Buffer.compare(await open(sealed, identityOf("p256")), plaintext)).toBe(0);
  });

  it.each([0, 11, 23, 12.5, Number.NaN, -12])("2^%d is refused", async (segLog2) => {
    const recipients = [recipientOf("p256")];
    await expect(sealMessage(text(1), { recipients, segLog2 })).rejects.toThrow(RangeError);
  });

  it("is 256 KiB by default", async () => {
    const sealed = await sealMessage(text(1), { recipients: [recipientOf("p256")] });
    expect((await inspectMessage(sealed.stream())).segmentBytes).toBe(262_144);
  });
});

describe("two messages of the same plaintext to the same key", () => {
  it("share nothing but the format", async () => {
    const [a, b] = [await seal(text(100), "x25519"), await seal(text(100), "x25519")];
    expect(a.length).toBe(b.length);
    const same = (from: number, to: number) =>
      toHex(a.subarray(from, to)) === toHex(b.subarray(from, to));
    expect(same(0, 19)).toBe(true); // PRELUDE and the core's first three bytes
    expect(same(19, 35)).toBe(false); // message id
    expect(same(43, 51)).toBe(false); // tag
    const windows = new Set<string>();
    for (let at = 55; at + 8 <= a.length; at++) windows.add(toHex(a.subarray(at, at + 8)));
    const common = [];
    for (let at = 55; at + 8 <= b.length; at++) {
      const window = toHex(b.subarray(at, at + 8));
      if (windows.has(window)) common.push(window);
    }
    // FLOE's parameters, 10 bytes, are in both; a random byte beside them may be too, by chance.
    const parameters = ["0000000010000000", "0000001000000000", "0000100000000020"];
    expect(common).toEqual(expect.arrayContaining(parameters));
    expect(common.filter((window) => !window.includes("1000000"))).toEqual([]);
  });
});

describe("a detached header", () => {
  it("opens its own body, and no other", async () => {
    const options = { recipients: [recipientOf("p256")], segLog2: SEG_LOG2 };
    const [one, other] = [
      await sealMessage(text(9000), options),
      await sealMessage(text(9000), options),
    ];
    const [body, otherBody] = [await one.body.bytes(), await other.body.bytes()];
    const identities = [identityOf("p256")];
    const opened = await openMessage(body, { identities, header: one.header });
    expect(Buffer.compare(await opened.plaintext.bytes(), text(9000))).toBe(0);
    await expect(openMessage(otherBody, { identities, header: one.header })).rejects.toMatchObject({
      code: "ERR_BODY_HEADER",
    });
    const whole = concat(one.header, body);
    await expect(openMessage(whole, { identities, header: one.header })).rejects.toMatchObject({
      code: "ERR_BODY_HEADER",
    });
    await expect(openMessage(body, { identities, header: whole })).rejects.toMatchObject({
      code: "ERR_TRAILING",
    });
    await expect(openMessage(body, { identities })).rejects.toMatchObject({
      code: "ERR_NOT_A_MESSAGE",
    });
    expect(Buffer.compare(await open(whole, ...identities), text(9000))).toBe(0);
  });
});

describe("streams", () => {
  const plaintext = text(3 * FULL + 5);
  const options = { recipients: [recipientOf("x25519")], segLog2: SEG_LOG2 };
  const identities = [identityOf("x25519")];

  it("of Node and of the web go in and come out", async () => {
    const sealed = await sealMessage(Readable.from(inSteps(plaintext, 1000)), options);
    const opened = await openMessage(sealed.stream().node(), { identities });
    expect(Buffer.compare(await collect(opened.plaintext.node()), plaintext)).toBe(0);

    const web = ReadableStream.from(inSteps(plaintext, 1000)) as AsyncIterable<Uint8Array>;
    const resealed = await sealMessage(web, options);
    const reopened = await openMessage(resealed.stream().web() as AsyncIterable<Uint8Array>, {
      identities,
    });
    const out = reopened.plaintext.web() as AsyncIterable<Uint8Array>;
    expect(Buffer.compare(await collect(out), plaintext)).toBe(0);
  });

  it("carry an empty message through Node's and the web's streams", async () => {
    for (const way of ["node", "web"] as const) {
      const sealed = await sealMessage([], options);
      const opened = await openMessage(sealed.stream()[way]() as AsyncIterable<Uint8Array>, {
        identities,
      });
      expect((await collect(opened.plaintext[way]() as AsyncIterable<Uint8Array>)).length).toBe(0);
    }
  });

  it("are sealed as they are read, in constant memory: nothing is read ahead of need", async () => {
    const source = new EndlessSource(text(FULL));
    const sealed = await sealMessage(source, options);
    expect(source.delivered).toBe(0);
    let read = 0;
    for await (const chunk of sealed.stream()) {
      read += chunk.length;
      if (read > 20 * FULL) break;
    }
    expect(source.delivered).toBeLessThan(20 + 4);
    expect(source.closed).toBeGreaterThan(0);
  });

  it("are opened as they are read", async () => {
    const sealed = await seal(plaintext, "x25519");
    let delivered = 0;
    async function* counted() {
      for await (const chunk of inSteps(sealed, 500)) {
        delivered += chunk.length;
        yield chunk;
      }
    }
    const opened = await openMessage(counted(), { identities });
    expect(delivered).toBeLessThan(1000);
    for await (const chunk of opened.plaintext) {
      expect(chunk.length).toBe(FULL);
      expect(delivered).toBeLessThan(FULL + 1500);
      break;
    }
  });

  it("that fail while being sealed fail the message with their own error", async () => {
    const broken = new Error("the disk is on fire");
    for (const at of [0, 1, FULL, FULL + 1]) {
      const sealed = await sealMessage(failingAfter(text(at), broken), options);
      await expect(sealed.stream().bytes()).rejects.toBe(broken);
    }
  });

  it("that fail while being opened are not taken for a cut or an altered message", async () => {
    const broken = new Error("the disk is on fire");
    const sealed = await seal(plaintext, "x25519");
    for (const at of [0, 7, 20, 100, 171, 200, 5000, sealed.length - 1, sealed.length]) {
      await expect(open(failingAfter(sealed.subarray(0, at), broken), ...identities)).rejects.toBe(
        broken,
      );
    }
  });

  it("are let go when their consumer stops, wherever it stops", async () => {
    const ends: [string, (source: EndlessSource) => Promise<unknown>][] = [
      ["sealing for nobody", (source) => sealMessage(source, { recipients: [] }).catch(String)],
      [
        "after the header",
        async (source) => leave((await sealMessage(source, options)).stream(), 1),
      ],
      [
        "after the body's header",
        async (source) => leave((await sealMessage(source, options)).body, 1),
      ],
      ["after a segment", async (source) => leave((await sealMessage(source, options)).body, 4)],
      [
        "closing the body unread",
        async (source) => (await sealMessage(source, options)).body.close(),
      ],
      [
        "cancelling the web stream",
        async (source) => (await sealMessage(source, options)).stream().web().cancel(),
      ],
      ["opening what is no message", (source) => openMessage(source, { identities }).catch(String)],
      [
        "opening with a header that is none",
        (source) => openMessage(source, { identities, header: text(50) }).catch(String),
      ],
    ];
    for (const [what, end] of ends) {
      const source = new EndlessSource(text(1000));
      await end(source);
      expect([what, source.closed > 0]).toEqual([what, true]);
    }
  });

  it("let go of a message that is opened and not read", async () => {
    const sealed = await seal(plaintext, "x25519");
    const ends: [
      string,
      (stream: Awaited<ReturnType<typeof openMessage>>["plaintext"]) => Promise<unknown>,
    ][] = [
      ["close", (stream) => stream.close()],
      ["leave", (stream) => leave(stream, 1)],
      ["cancel", (stream) => stream.web().cancel()],
      [
        "destroy",
        (stream) => new Promise<void>((done) => stream.node().once("close", done).destroy()),
      ],
    ];
    for (const [what, end] of ends) {
      const source = Readable.from(inSteps(sealed, 500));
      const opened = await openMessage(source, { identities });
      await end(opened.plaintext);
      expect([what, source.destroyed]).toEqual([what, true]);
    }
  });

  it("are read once: a message sealed twice from one stream would lose its body", async () => {
    const sealed = await sealMessage(byByte(text(10)), options);
    const whole = await sealed.stream().bytes();
    expect(whole.length).toBe(sealed.header.length + 74 + 32 + 10);
    await expect(sealed.stream().bytes()).rejects.toThrow(TypeError);
    await expect(sealed.body.bytes()).rejects.toThrow(TypeError);
  });
});

async function leave(stream: AsyncIterable<Uint8Array>, after: number): Promise<void> {
  let chunks = 0;
  for await (const chunk of stream) {
    chunks += chunk.length > 0 ? 1 : 0;
    if (chunks >= after) break;
  }
}
