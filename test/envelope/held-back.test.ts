/** Plaintext that must not be seen before its stream has ended. */
import { describe, expect, it } from "@jest/globals";
import type { Kept } from "../../src/envelope/receiver.js";
import { heldBack, keep } from "../../src/envelope/held-back.js";
import { collect } from "../../src/stream.js";
import { Random } from "../support/mutate.js";
import { codeOf } from "../support/streams.js";

const MIB = 1024 * 1024;
const chunk = new Random(4).bytes(MIB);

/** So many MiB; `fails` at the end. */
// eslint-disable-next-line @typescript-eslint/require-await -- a stream of what is there
async function* stream(mib: number, fails = false): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < mib; i++) yield chunk.slice();
  if (fails) throw new Error("not authentic");
}

class MemorySpool implements Kept {
  readonly parts: Uint8Array[] = [];
  closed = false;

  // eslint-disable-next-line @typescript-eslint/require-await -- a stream of what is there
  async *chunks(): AsyncGenerator<Uint8Array> {
    yield* this.parts;
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  readonly spool = async (chunks: AsyncIterable<Uint8Array>): Promise<Kept> => {
    for await (const bytes of chunks) this.parts.push(bytes);
    return this;
  };
}

/** The first chunk, or what kept it from coming. */
async function first(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  try {
    for await (const bytes of chunks) return `${bytes.length} bytes`;
    return "nothing";
  } catch (error) {
    return (error as Error).message;
  }
}

describe("plaintext that is held back", () => {
  it.each([1, 20])("of %i MiB comes only after its end", async (mib) => {
    const { spool } = new MemorySpool();
    expect(await first(heldBack(stream(mib, true), { spool }))).toBe("not authentic");
    expect(await first(heldBack(stream(mib, true), { keepsUntilEnd: true }))).toBe(`${MIB} bytes`);
  });

  it("lies outside memory only encrypted, and comes back whole, twice if need be", async () => {
    const outside = new MemorySpool();
    const kept = await keep(stream(20), outside);
    expect(outside.parts.length).toBe(20);
    expect(outside.parts.some((part) => Buffer.compare(part, chunk) === 0)).toBe(false);
    for (let i = 0; i < 2; i++) {
      const whole = await collect(kept.chunks());
      expect(whole.length).toBe(20 * MIB);
      expect(Buffer.compare(whole.subarray(19 * MIB), chunk)).toBe(0);
    }
    await kept.close();
    expect(outside.closed).toBe(true);
  });

  it("without a place outside memory is refused from 64 MiB on", async () => {
    expect((await collect(heldBack(stream(64), {}))).length).toBe(64 * MIB);
    expect(await codeOf(collect(heldBack(stream(65), {})))).toBe("ERR_HELD_BACK");
  });
});
