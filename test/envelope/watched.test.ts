/** `onProgress` and `signal`, for every kind of source. */
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { afterAll, describe, expect, it, jest } from "@jest/globals";
import { openMessage, sealMessage, verifySender } from "../../src/envelope/messages.js";
import type { OpenOptions } from "../../src/envelope/open-options.js";
import { rewrapMessage } from "../../src/envelope/rewrap-message.js";
import { openRanges } from "../../src/envelope/ranges.js";
import type { Watching } from "../../src/envelope/watched.js";
import { AbortedError, AuthenticationError } from "../../src/errors.js";
import type { ByteSource } from "../../src/stream.js";
import { identityOf, recipientOf } from "../support/identities.js";
import { EndlessSource, inSteps } from "../support/streams.js";

const plaintext = Uint8Array.from({ length: 700_000 }, (_, i) => i & 0xff);
const folder = mkdtempSync(join(tmpdir(), "p11seal-watched-"));

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const seal = (source: ByteSource, watching: Watching = {}) =>
  sealMessage(source, { recipients: [recipientOf("p256")], segLog2: 14, ...watching });
const open = (source: ByteSource, options: Partial<OpenOptions> = {}) =>
  openMessage(source, { identities: [identityOf("p256")], ...options });
const sealedBytes = async () => (await seal(plaintext)).stream().bytes();

function fileOf(bytes: Uint8Array): string {
  const path = join(folder, "input");
  writeFileSync(path, bytes);
  return path;
}

const sources: readonly (readonly [string, (bytes: Uint8Array) => ByteSource])[] = [
  ["bytes", (bytes) => bytes],
  ["an array", (bytes) => [bytes.subarray(0, 1000), bytes.subarray(1000)]],
  ["a generator", (bytes) => inSteps(bytes, 5000)],
  ["a Node stream", (bytes) => createReadStream(fileOf(bytes))],
  ["a web stream", (bytes) => ReadableStream.from(inSteps(bytes, 5000))],
];

describe.each(sources)("from %s", (_, sourceOf) => {
  it("progress grows to the number of bytes read, and changes nothing", async () => {
    const sealing: number[] = [];
    const onSeal = (bytes: number): unknown => sealing.push(bytes);
    const sealed = await (await seal(sourceOf(plaintext), { onProgress: onSeal })).stream().bytes();
    const opening: number[] = [];
    const onOpen = (bytes: number): unknown => opening.push(bytes);
    const opened = await open(sourceOf(sealed), { onProgress: onOpen });
    expect(Buffer.compare(await opened.plaintext.bytes(), plaintext)).toBe(0);
    for (const [seen, total] of [
      [sealing, plaintext.length],
      [opening, sealed.length],
    ] as const) {
      expect(seen.length).toBeGreaterThan(1);
      expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
      expect(seen.at(-1)).toBe(total);
    }
  });

  it("a signal ends both, with a stable code and its reason as cause", async () => {
    const sealed = await sealedBytes();
    for (const call of [
      async (watching: Watching) => (await seal(sourceOf(plaintext), watching)).stream().bytes(),
      async (watching: Watching) => (await open(sourceOf(sealed), watching)).plaintext.bytes(),
    ]) {
      const control = new AbortController();
      const onProgress = (): void => {
        control.abort("enough");
      };
      const ended = call({ signal: control.signal, onProgress });
      await expect(ended).rejects.toThrow(AbortedError);
      await expect(ended).rejects.toMatchObject({ code: "ERR_ABORTED", cause: "enough" });
    }
  });
});

/** A source that delivers `first` and then nothing, ever. */
function stalled(first: Uint8Array): { readonly source: Readable; readonly web: ReadableStream } {
  const source = new Readable({ read: () => undefined });
  source.push(first);
  const web = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(first);
    },
  });
  return { source, web };
}

describe("a signal", () => {
  const soon = (): AbortSignal => AbortSignal.timeout(20);

  it("interrupts a wait for bytes that never come, and releases the source", async () => {
    const { source, web } = stalled(plaintext.subarray(0, 1000));
    for (const stuck of [source, web]) {
      const control = new AbortController();
      const sealed = await seal(stuck, { signal: control.signal });
      setTimeout(() => {
        control.abort();
      }, 20);
      await expect(sealed.stream().bytes()).rejects.toMatchObject({ code: "ERR_ABORTED" });
    }
    expect(source.destroyed).toBe(true);
    const header = stalled((await sealedBytes()).subarray(0, 50));
    await expect(open(header.source, { signal: soon() })).rejects.toThrow(AbortedError);
    expect(header.source.destroyed).toBe(true);
  });

  it("releases a source that nobody reads", async () => {
    const { source } = stalled(plaintext);
    const control = new AbortController();
    const sealed = await seal(source, { signal: control.signal });
    control.abort();
    expect(source.destroyed).toBe(true);
    await expect(sealed.stream().bytes()).rejects.toThrow(AbortedError);
  });

  it("destroys the streams that were made of it", async () => {
    const control = new AbortController();
    const endless = new EndlessSource(plaintext);
    const sealed = await seal(endless, { signal: control.signal });
    const node = sealed.stream().node();
    node.once("data", () => {
      control.abort();
    });
    await expect(new Promise((_, reject) => node.on("error", reject))).rejects.toThrow(
      AbortedError,
    );
    expect(endless.closed).toBe(1);
  });

  it("that has fired begins nothing: no key is looked for, and the source is released", async () => {
    const { source } = stalled(plaintext);
    const authenticate = jest.fn(() => Promise.resolve());
    const signal = AbortSignal.abort();
    await expect(open(source, { signal, authenticate })).rejects.toThrow(AbortedError);
    await expect(seal(plaintext, { signal })).rejects.toThrow(AbortedError);
    await expect(verifySender(plaintext, { signal })).rejects.toThrow(AbortedError);
    expect(authenticate).not.toHaveBeenCalled();
    expect(source.destroyed).toBe(true);
  });

  it("waits for authenticate, so that what it did can be undone; no key is unlocked then", async () => {
    const control = new AbortController();
    let decided = false;
    const identities = jest.fn(() => Promise.resolve([identityOf("p256")]));
    const opening = open(await sealedBytes(), {
      signal: control.signal,
      identities,
      authenticate: async () => {
        control.abort();
        await new Promise((resolve) => setTimeout(resolve, 20));
        decided = true;
      },
    });
    await expect(opening).rejects.toThrow(AbortedError);
    expect(decided).toBe(true);
    expect(identities).not.toHaveBeenCalled();
  });

  it("lets no key be unlocked for who has gone, when re-wrapping either", async () => {
    const control = new AbortController();
    const identities = jest.fn(() => Promise.resolve([identityOf("p256")]));
    let decided = false;
    const rewrapping = rewrapMessage(await sealedBytes(), {
      ...{ add: [recipientOf("rsa2048")], remove: [], nowMs: 0, identities },
      signal: control.signal,
      authenticate: async () => {
        control.abort();
        await new Promise((resolve) => setTimeout(resolve, 20));
        decided = true;
      },
    });
    await expect(rewrapping).rejects.toThrow(AbortedError);
    expect(decided).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(identities).not.toHaveBeenCalled();
  });

  it("ends a wait for a token or a PIN", async () => {
    const { publicKey, name } = identityOf("p256");
    const unlock = (): Promise<never> => new Promise(() => undefined);
    const identities = [{ publicKey, name, unlock }];
    const opening = open(await sealedBytes(), { signal: soon(), identities });
    await expect(opening).rejects.toThrow(AbortedError);
  });

  it("ends the reading of parts", async () => {
    const sealed = await sealedBytes();
    const control = new AbortController();
    const source = {
      size: sealed.length,
      read: (at: number, length: number) => Promise.resolve(sealed.slice(at, at + length)),
    };
    const options = { identities: [identityOf("p256")], signal: control.signal };
    const ranges = await openRanges(source, options);
    expect(await ranges.read(0, 3)).toEqual(plaintext.slice(0, 3));
    control.abort();
    await expect(ranges.read(0, 3)).rejects.toThrow(AbortedError);
    await expect(ranges.verifySize()).rejects.toThrow(AbortedError);
  });

  it("of a long-lived caller keeps no listener of calls that ended", async () => {
    const { signal } = new AbortController();
    const added = jest.spyOn(signal, "addEventListener");
    const removed = jest.spyOn(signal, "removeEventListener");
    const sealed = await (await seal(plaintext, { signal })).stream().bytes();
    await (await open(sealed, { signal })).plaintext.bytes();
    const broken = open(sealed.subarray(0, 99), { signal });
    await expect(broken).rejects.toThrow(AuthenticationError);
    const listeners = (calls: readonly (readonly unknown[])[]) => new Set(calls.map(([, f]) => f));
    expect(listeners(added.mock.calls).size).toBeGreaterThan(0);
    for (const listener of listeners(added.mock.calls)) {
      expect(listeners(removed.mock.calls)).toContain(listener);
    }
  });
});
