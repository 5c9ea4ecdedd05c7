import { describe, expect, it } from "@jest/globals";
import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import {
  ByteStream,
  chunks,
  collect,
  fillingSource,
  Reader,
  type ByteSource,
} from "../../src/stream.js";
import {
  byByte,
  codeOf,
  EndlessSource,
  failingAfter,
  inSteps,
  readAll,
} from "../support/streams.js";

const data = Uint8Array.from({ length: 2500 }, (_, i) => i % 251);

function webStream(bytes: Uint8Array, cancelled: () => void = () => undefined) {
  let at = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.length) controller.close();
      else controller.enqueue(bytes.slice(at, (at += 700)));
    },
    cancel: cancelled,
  });
}

describe("a byte source", () => {
  const sources: [string, () => ByteSource][] = [
    ["bytes", () => data],
    ["a Buffer", () => Buffer.from(data)],
    ["an array of chunks", () => [data.subarray(0, 7), data.subarray(7)]],
    ["a generator", () => byByte(data)],
    ["a Node stream", () => Readable.from(inSteps(data, 600), { objectMode: false })],
    ["a web stream", () => webStream(data)],
    ["a byte stream", () => new ByteStream(inSteps(data, 600))],
  ];

  it.each(sources)("can be %s, and delivers every byte in order", async (_name, source) => {
    expect(Buffer.compare(await collect(source()), data)).toBe(0);
  });

  it("joins more parts than a call has room for", async () => {
    const parts = Array.from({ length: 300_000 }, (_, i) => Uint8Array.of(i & 0xff));
    const joined = await collect(parts);
    expect([joined.length, joined[255], joined.at(-1)]).toEqual([300_000, 255, 299_999 & 0xff]);
  });

  it.each([
    ["text", "some text"],
    ["numbers", [1, 2, 3]],
    ["streams of text", Readable.from(["some text"])],
    ["buffers without a view", [new ArrayBuffer(8)]],
  ])("of %s is refused, not converted", async (_what, source) => {
    await expect(collect(source as unknown as ByteSource)).rejects.toThrow(TypeError);
  });

  it("may deliver nothing now and then", async () => {
    const sparse = [new Uint8Array(0), data.subarray(0, 3), new Uint8Array(0), data.subarray(3)];
    expect(Buffer.compare(await collect(sparse), data)).toBe(0);
    for await (const chunk of chunks(sparse)) expect(chunk.length).toBeGreaterThan(0);
  });

  it("that fails is not taken for one that ended: its own error arrives", async () => {
    const broken = new Error("the disk is on fire");
    const reader = new Reader(failingAfter(data, broken));
    await reader.upTo(2400);
    await expect(reader.upTo(2400)).rejects.toBe(broken);
    await expect(collect(failingAfter(data, broken))).rejects.toBe(broken);
  });
});

describe("a reader", () => {
  it.each([1, 7, 600, 2499, 2500])("delivers exact lengths from chunks of %i", async (step) => {
    const reader = new Reader(inSteps(data, step));
    const parts: Uint8Array[] = [];
    for (const length of [0, 1, 16, 599, 600, 601]) {
      const part = await reader.exactly(length, "part");
      expect(part.length).toBe(length);
      parts.push(part);
    }
    expect(reader.consumed).toBe(1817);
    parts.push(await reader.upTo(10_000));
    expect((await reader.upTo(1)).length).toBe(0);
    expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0);
  });

  it("delivers copies: what a source does with its chunk later changes nothing", async () => {
    const mine = data.slice();
    const reader = new Reader(mine);
    const part = await reader.exactly(100, "part");
    mine.fill(0);
    expect(Buffer.compare(part, data.subarray(0, 100))).toBe(0);
  });

  it("says what is missing when the source ends", async () => {
    const reader = new Reader(data.subarray(0, 10));
    await expect(reader.exactly(16, "the header MAC")).rejects.toMatchObject({
      code: "ERR_TRUNCATED",
      message: "the header MAC is cut off after 10 of 16 bytes",
    });
  });

  it("asks its source for no more than it needs", async () => {
    const source = new EndlessSource(data.subarray(0, 100));
    const reader = new Reader(source);
    await reader.exactly(250, "part");
    expect(source.delivered).toBe(3);
    await reader.exactly(50, "part");
    expect(source.delivered).toBe(3);
  });

  it.each([0, 1])("lets its source go when closed after %i reads", async (reads) => {
    const source = new EndlessSource(data);
    const node = Readable.from(inSteps(data, 100), { objectMode: false });
    let cancelled = 0;
    const web = webStream(data, () => cancelled++);
    for (const each of [source, node, web]) {
      const reader = new Reader(each as ByteSource);
      for (let i = 0; i < reads; i++) await reader.exactly(1, "part");
      await reader.close();
      await reader.close();
    }
    expect(source.closed).toBeGreaterThan(0);
    expect(node.destroyed).toBe(true);
    expect(cancelled).toBe(1);
  });

  it("closes quietly, so that no other error is lost", async () => {
    for (const reads of [0, 1]) {
      const reader = new Reader({
        [Symbol.asyncIterator]: () => ({
          next: () => Promise.resolve({ done: false, value: data }),
          return: () => Promise.reject(new Error("can't close")),
        }),
      });
      for (let i = 0; i < reads; i++) await reader.exactly(1, "part");
      expect(await codeOf(reader.close())).toBeUndefined();
    }
  });
});

describe("a byte stream", () => {
  const ways: [string, (stream: ByteStream) => Promise<Uint8Array>][] = [
    ["iterated", (stream) => collect(stream)],
    ["bytes()", (stream) => stream.bytes()],
    ["node()", (stream) => collect(stream.node())],
    ["web()", (stream) => collect(stream.web() as AsyncIterable<Uint8Array>)],
  ];

  it.each(ways)("%s delivers every byte", async (_way, read) => {
    expect(Buffer.compare(await read(new ByteStream(inSteps(data, 600))), data)).toBe(0);
  });

  it.each(ways)("%s delivers the source's own error", async (_way, read) => {
    const broken = new Error("cut");
    await expect(read(new ByteStream(failingAfter(data, broken)))).rejects.toBe(broken);
  });

  it.each(ways)("%s ends when there is nothing, or nothing for a while", async (_way, read) => {
    const nothing = new Uint8Array(0);
    const sparse = Readable.from([nothing, data, nothing, nothing, data, nothing]);
    expect((await read(new ByteStream(Readable.from([nothing])))).length).toBe(0);
    expect((await read(new ByteStream(sparse))).length).toBe(2 * data.length);
  });

  it("is never read twice: the second reader would find a message without an end", async () => {
    const stream = new ByteStream(inSteps(data, 600));
    await stream.bytes();
    expect(() => stream[Symbol.asyncIterator]()).toThrow(TypeError);
    expect(() => stream.node()).toThrow(TypeError);
    expect(() => stream.web()).toThrow(TypeError);
    await expect(stream.bytes()).rejects.toThrow(TypeError);
  });

  it("keeps a web stream's and a Node stream's back pressure", async () => {
    const source = new EndlessSource(new Uint8Array(64 * 1024));
    const node = new ByteStream(source).node();
    node.once("readable", () => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(source.delivered).toBeLessThan(5);
    node.destroy();
  });

  it.each([
    [
      "leaving a loop",
      async (stream: ByteStream) => {
        for await (const chunk of stream) if (chunk.length > 0) break;
      },
    ],
    ["cancelling the web stream", (stream: ByteStream) => stream.web().cancel()],
    [
      "destroying the Node stream",
      (stream: ByteStream) => {
        const node = stream.node();
        return new Promise<void>((resolve) => node.destroy().once("close", resolve));
      },
    ],
    ["closing it unread", (stream: ByteStream) => stream.close()],
  ] as [string, (stream: ByteStream) => Promise<void>][])(
    "lets go of what is behind it on %s",
    async (_how, end) => {
      let released = 0;
      const release = () => {
        released++;
        return Promise.resolve();
      };
      await end(new ByteStream(inSteps(data, 100), release));
      expect(released).toBeGreaterThan(0);
    },
  );

  it("can't be read once it was closed", async () => {
    const stream = new ByteStream(inSteps(data, 100));
    await stream.close();
    await expect(stream.bytes()).rejects.toThrow(TypeError);
  });

  it("read without an end delivers nothing after its error", async () => {
    const { bytes, error } = await readAll(new ByteStream(failingAfter(data, new Error("cut"))));
    expect([bytes.length, (error as Error).message]).toEqual([data.length, "cut"]);
  });
});

describe("what was peeked at", () => {
  /** Fills at most `most` bytes at a time. */
  function filling(most: number): ByteSource {
    let at = 0;
    return fillingSource((target) => {
      const part = data.subarray(at, at + Math.min(most, target.length));
      target.set(part);
      at += part.length;
      return Promise.resolve(part.length);
    });
  }

  const sources: [string, () => ByteSource][] = [
    ["at once", () => data],
    ["byte by byte", () => byByte(data)],
    ["in steps", () => inSteps(data, 600)],
    ["from a source that fills buffers", () => filling(10_000)],
    ["from one that fills a few bytes at a time", () => filling(5)],
  ];

  it.each(sources)("stays to be read, %s", async (_how, source) => {
    const reader = new Reader(source());
    expect(Buffer.compare(await reader.peek(8), data.subarray(0, 8))).toBe(0);
    expect(Buffer.compare(await reader.peek(64), data.subarray(0, 64))).toBe(0);
    expect(reader.consumed).toBe(0);
    expect(Buffer.compare(await reader.upTo(10), data.subarray(0, 10))).toBe(0);
    expect(Buffer.compare(await reader.peek(700), data.subarray(10, 710))).toBe(0);
    expect(Buffer.compare(await reader.upTo(5000), data.subarray(10))).toBe(0);
    expect((await reader.peek(1)).length).toBe(0);
    expect(reader.consumed).toBe(data.length);
  });

  it.each(sources)("is all there is, where the source ends sooner, %s", async (_how, source) => {
    const reader = new Reader(source());
    expect(Buffer.compare(await reader.peek(3000), data)).toBe(0);
    expect(Buffer.compare(await reader.peek(3000), data)).toBe(0);
    expect(Buffer.compare(await reader.upTo(3000), data)).toBe(0);
  });

  it("is a copy: changing it changes nothing", async () => {
    const reader = new Reader(Uint8Array.from(data));
    (await reader.peek(4)).fill(0xff);
    expect(Buffer.compare(await reader.upTo(4), data.subarray(0, 4))).toBe(0);
  });
});
