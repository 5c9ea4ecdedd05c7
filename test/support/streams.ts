/** Byte sources that deliver awkwardly, fail, and tell whether they were let go. */
import type { ByteSource } from "../../src/stream.js";

/** `bytes` in chunks of `step`; the last may be shorter. Each chunk is a copy. */
export async function* inSteps(bytes: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) {
    // What really arrives from outside arrives later.
    await Promise.resolve();
    yield bytes.slice(at, at + step);
  }
}

/** `bytes` one at a time. */
export function byByte(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  return inSteps(bytes, 1);
}

/** The ways a message is delivered in tests: what a chunk is must not matter. */
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

/** Delivers the same chunk for ever, and counts what was asked of it. */
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
  /** `undefined` when it ended. */
  readonly error: unknown;
}

/** Reads a stream to its end or failure, and loses nothing of what came before. */
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

/** The `code` of a rejection, or `undefined` when nothing was thrown. */
export async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? `no code: ${String(error)}`;
  }
}
