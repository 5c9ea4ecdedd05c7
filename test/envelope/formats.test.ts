/**
 * The joint between formats and everybody else: which format a message has, and what holds for all.
 */
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import type { Envelope } from "../../src/envelope/envelope.js";
import type { MessageInfo } from "../../src/envelope/message-info.js";
import type { Receiver } from "../../src/envelope/receiver.js";
import { formatOf, registerFormat } from "../../src/envelope/formats.js";
import {
  beginOpening,
  inspectMessage,
  matchesRecipient,
  openMessage,
  sealMessage,
  verifySender,
} from "../../src/envelope/messages.js";
import { openRanges } from "../../src/envelope/ranges.js";
import type { Identity } from "../../src/keys/key.js";
import { collect, Reader, type ByteSource } from "../../src/stream.js";
import { counting, identityOf, recipientOf } from "../support/identities.js";
import { codeOf } from "../support/streams.js";
import { sealedAs } from "../support/toy-messages.js";
import { toySegments, toyStream } from "./toy.js";

const TOYS = [toyStream, toySegments].map((toy) => [toy.name, toy] as const);
const identities = [identityOf("rsa2048")];
const content = randomBytes(10_000);

let registered: (() => void)[] = [];

function register(...envelopes: readonly Envelope[]): void {
  registered.push(...envelopes.map(registerFormat));
}

afterEach(() => {
  for (const unregister of registered) unregister();
  registered = [];
});

const nameOf = async (source: ByteSource): Promise<string> =>
  (await formatOf(new Reader(source))).name;

describe("the format of a message", () => {
  /** Takes what starts with `A`, and notes what it was shown. */
  function greedy(name: string, startBytes: number): { envelope: Envelope; shown: number[] } {
    const shown: number[] = [];
    const detect = (start: Uint8Array): boolean => {
      shown.push(start.length);
      return start[0] === 0x41;
    };
    return { envelope: { ...toyStream, name, startBytes, detect }, shown };
  }

  it("is found by its first bytes, whatever else is known", async () => {
    register(toyStream, toySegments);
    const native = await sealMessage(content, { recipients: [recipientOf("p256")] });
    expect(await nameOf(native.stream())).toBe("p11seal");
    for (const [name, toy] of TOYS) {
      expect(await nameOf((await sealedAs(toy, content)).whole)).toBe(name);
    }
  });

  it("is unknown before it is registered, and once it is not any more", async () => {
    const { whole } = await sealedAs(toyStream, content);
    expect(await codeOf(nameOf(whole))).toBe("ERR_NOT_A_MESSAGE");
    const unregister = registerFormat(toyStream);
    expect(await nameOf(whole)).toBe("toy stream");
    unregister();
    unregister();
    expect(await codeOf(nameOf(whole))).toBe("ERR_NOT_A_MESSAGE");
  });

  it.each([
    ["nothing", ""],
    ["a text", "a text of some length, which is longer than what any format may look at"],
    ["a toy's magic number, cut", "TOY"],
  ])("is not found for %s", async (_name, text) => {
    register(toyStream);
    expect(await codeOf(inspectMessage(Buffer.from(text)))).toBe("ERR_NOT_A_MESSAGE");
    expect(await codeOf(openMessage(Buffer.from(text), { identities }))).toBe("ERR_NOT_A_MESSAGE");
  });

  it("is the first known one of those that recognise it", async () => {
    register(greedy("one", 1).envelope, greedy("two", 1).envelope);
    expect(await nameOf(Buffer.from("A message"))).toBe("one");
  });

  it("is looked for in no more bytes than it asks for, 64 at most", async () => {
    const [modest, immodest] = [greedy("modest", 5), greedy("immodest", 1_000_000)];
    register(modest.envelope, immodest.envelope);
    await codeOf(nameOf(new Uint8Array(5000)));
    await codeOf(nameOf(new Uint8Array(3)));
    expect([modest.shown, immodest.shown]).toEqual([
      [5, 3],
      [64, 3],
    ]);
  });

  it("is found without waiting for more bytes than the known formats need", async () => {
    async function* stalling(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("no mess");
      yield Buffer.from("age");
      await new Promise(() => undefined);
    }
    expect(await codeOf(nameOf(stalling()))).toBe("ERR_NOT_A_MESSAGE");
  });

  it("is found without consuming anything, however the bytes come", async () => {
    register(toyStream);
    const { whole } = await sealedAs(toyStream, content);
    const bytewise = Array.from(whole, (byte) => Uint8Array.of(byte));
    const reader = new Reader(bytewise);
    expect((await formatOf(reader)).name).toBe("toy stream");
    expect(reader.consumed).toBe(0);
    expect(Buffer.from(await reader.upTo(whole.length + 1)).equals(whole)).toBe(true);
  });
});

describe.each(TOYS)("a message in another format, %s,", (name, toy) => {
  beforeEach(() => {
    register(toy);
  });

  it.each([0, 1, 999, 1000, 1001, 4064, 4065, 10_000])("of %d bytes opens", async (length) => {
    const plaintext = content.subarray(0, length);
    const { whole } = await sealedAs(toy, plaintext);
    const opened = await openMessage(whole, { identities });
    expect([opened.info.format, opened.identity]).toEqual([name, identities[0]]);
    expect(Buffer.from(await opened.plaintext.bytes()).equals(plaintext)).toBe(true);
  });

  it("opens with its header detached", async () => {
    const { header, body } = await sealedAs(toy, content);
    const opened = await openMessage(body, { identities, header });
    expect(Buffer.from(await opened.plaintext.bytes()).equals(content)).toBe(true);
  });

  it("shows its recipient, as plain values and without a key", async () => {
    const { whole, header } = await sealedAs(toy, content);
    const info: MessageInfo = await inspectMessage(whole);
    expect(info).toMatchObject({ format: name, version: 7, headerBytes: header.length });
    expect(matchesRecipient(info, identityOf("rsa2048").publicKey)).toBe(true);
    expect(matchesRecipient(info, identityOf("rsa3072").publicKey)).toBe(false);
    expect(await verifySender(whole)).toBeUndefined();
  });

  it("unlocks nothing that does not match", async () => {
    const { whole } = await sealedAs(toy, content);
    const other = counting(identityOf("rsa3072"));
    const opening = openMessage(whole, { identities: [other.identity] });
    expect([await codeOf(opening), other.unlocks]).toEqual(["ERR_NO_MATCH", 0]);
  });

  it("cut at any place, or continued, does not open to its end", async () => {
    const { whole } = await sealedAs(toy, content.subarray(0, 2032));
    const outcome = async (bytes: Uint8Array): Promise<string | undefined> =>
      codeOf(openMessage(bytes, { identities }).then(({ plaintext }) => plaintext.bytes()));
    for (let length = 4; length < whole.length; length += 97) {
      expect(await outcome(whole.subarray(0, length))).toMatch(/^ERR_(?:TRUNCATED|SEGMENT)$/);
    }
    const continued = await outcome(Buffer.concat([whole, Uint8Array.of(0)]));
    expect(continued).toMatch(/^ERR_(?:TRAILING|SEGMENT)$/);
  });
});

describe("parts of a message", () => {
  const sourceOf = (bytes: Uint8Array) => ({
    size: bytes.length,
    read: (offset: number, length: number) =>
      Promise.resolve(bytes.subarray(offset, offset + length)),
  });

  it("can be read in any format with segments", async () => {
    register(toySegments);
    const { whole } = await sealedAs(toySegments, content);
    const ranges = await openRanges(sourceOf(whole), { identities });
    expect(ranges.size).toBe(content.length);
    const part = await ranges.read(4000, 3000);
    expect(Buffer.from(part).equals(content.subarray(4000, 7000))).toBe(true);
  });

  it("can't be read in one that is a stream, which is said", async () => {
    register(toyStream);
    const { whole } = await sealedAs(toyStream, content);
    expect(await codeOf(openRanges(sourceOf(whole), { identities }))).toBe("ERR_NO_SEGMENTS");
  });
});

describe("whatever a format does,", () => {
  /** The toy, with a receiver that the test sees. */
  const toyThat = (ask: (receiver: Receiver) => Promise<unknown>): Envelope => ({
    ...toyStream,
    async beginOpening(sealed, receiver) {
      const faulty = { ...receiverOf(receiver), authenticate: () => Promise.resolve() };
      await ask(receiver);
      return toyStream.beginOpening(sealed, faulty);
    },
  });

  const noInfo = {} as MessageInfo;

  const receiverOf = (receiver: Receiver): Receiver => ({
    authenticate: (sender) => receiver.authenticate(sender),
    identities: () => Promise.resolve(identities),
  });

  async function opening(
    toy: Envelope,
    authenticate?: () => Promise<void>,
  ): Promise<{ error: unknown; looked: number }> {
    register(toy);
    const { whole } = await sealedAs(toyStream, content);
    let looked = 0;
    const find = (): Promise<readonly Identity[]> => {
      looked++;
      return Promise.resolve(identities);
    };
    const options = { identities: find, ...(authenticate === undefined ? {} : { authenticate }) };
    const error: unknown = await beginOpening(new Reader(whole), options).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    return { error, looked };
  }

  it("no key is looked for before the sender was authenticated", async () => {
    const { error, looked } = await opening(toyThat((receiver) => receiver.identities(noInfo)));
    expect(error).toBeInstanceOf(TypeError);
    expect(looked).toBe(0);
  });

  it("nothing opens whose sender was not authenticated", async () => {
    const { error } = await opening(toyThat(() => Promise.resolve()));
    expect(error).toBeInstanceOf(TypeError);
  });

  it("no key is looked for once the sender was refused, though the format goes on", async () => {
    const refuse = (): Promise<void> => Promise.reject(new Error("refused"));
    const deaf = toyThat(async (receiver) => {
      await receiver.authenticate(undefined).catch(() => undefined);
      await receiver.identities(noInfo);
    });
    const { error, looked } = await opening(deaf, refuse);
    expect([error instanceof TypeError, looked]).toEqual([true, 0]);
  });
});

it("a body's last chunk comes after the whole stream was checked", async () => {
  const { openStream } = await import("../../src/body/body.js");
  const order: string[] = [];
  const body = {
    kind: "stream" as const,
    async *open(sealed: Reader) {
      yield await sealed.upTo(1);
      yield await sealed.upTo(1);
      order.push("checked");
    },
  };
  const chunks = openStream(body, new Reader(Buffer.from("ab")), () => {
    order.push("beforeLast");
    return Promise.resolve();
  });
  for await (const { parts } of chunks) order.push(Buffer.from(await collect(parts)).toString());
  expect(order).toEqual(["a", "checked", "beforeLast", "b"]);
});
