/** Byte sources that deliver awkwardly, fail, and record whether they were released. */
import type { ByteSource } from "../../src/stream.js";

/** `bytes` in chunks of `step`; the last may be shorter. Each chunk is a copy. */
export async function* inSteps(bytes: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) {
    // Real input arrives asynchronously.
    await Promise.resolve();
    yield bytes.slice(at, at + step);
  }
}

/** `bytes` one at a time. */
export function byByte(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  return inSteps(bytes, 1);
}

/** The ways to deliver a message in tests: chunks must not matter. */
export const DELIVERIES: readonly (readonly [string, (bytes: Uint8Array) => ByteSource])[] = [
  ["whole", (bytes) => bytes],
  ["byte by byte", byByte],
  ["in steps of 600", (bytes) => inSteps(bytes, 600)],
];

/** Delivers `bytes`, then throws `error`. */
export async function* failingAfter(bytes: Uint8Array, error: Error): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield bytes;
  throw error;
}

/** Delivers the same chunk forever, and counts the requests. */
export class EndlessSource implements AsyncIterable<Uint8Array> {
  readonly #chunk: Uint8Array;
  delivered = 0;
  closed = 0;

  constructor(chunk: Uint8Array) {
    this.#chunk = chunk;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: () => {
        this.delivered++;
        return Promise.resolve({ done: false, value: this.#chunk });
      },
      return: () => {
        this.closed++;
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }
}

/** What a stream delivered before it ended or failed. */
export interface Delivered {
  readonly bytes: Uint8Array;
  /** `undefined` if it ended. */
  readonly error: unknown;
}

/** Reads a stream to its end or failure, and keeps everything before that. */
export async function readAll(source: AsyncIterable<Uint8Array>): Promise<Delivered> {
  const parts: Uint8Array[] = [];
  let error: unknown;
  try {
    for await (const part of source) parts.push(part);
  } catch (thrown) {
    error = thrown;
  }
  return { bytes: Buffer.concat(parts), error };
}

/** The `code` of a rejection, or `undefined` if nothing was thrown. */
export async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? `no code: ${String(error)}`;
  }
}
