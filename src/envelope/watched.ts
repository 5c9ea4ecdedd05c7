/**
 * What `onProgress` and `signal` do. A source is wrapped so that each read is reported and can be
 * interrupted, even while it waits for bytes that never come; once the signal has fired, the file
 * or connection behind the source is released.
 */
import { Readable } from "node:stream";
import { AbortedError } from "../errors.js";
import type { ByteSource } from "../stream.js";

export interface Watching {
  /**
   * Called after each read: how many bytes have been read so far, of the plaintext when sealing, of
   * the sealed message when opening (of its body, where the header is detached). An exception in it
   * ends the call.
   */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /**
   * Ends the call, and the streams that it returned, with AbortedError `ERR_ABORTED`. A token's
   * operation that has begun is not interrupted, but its result is dropped.
   */
  readonly signal?: AbortSignal | undefined;
}

/** The same bytes, watched; the source itself where there is nothing to do. */
export function watched(source: ByteSource, { onProgress, signal }: Watching): ByteSource {
  if (onProgress === undefined && signal === undefined) return source;
  return new WatchedSource(source, onProgress, signal);
}

/** @throws AbortedError `ERR_ABORTED` if the signal has fired */
export function requireRunning(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw aborted(signal);
}

/** Rejects when the signal fires, unless `work` has settled by then. */
export async function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(aborted(signal));
    };
    signal.addEventListener("abort", stop, { once: true });
    const done = (): void => {
      signal.removeEventListener("abort", stop);
    };
    work.then(resolve, reject).finally(done);
    if (signal.aborted) stop();
  });
}

/** The chunks, until the signal fires. */
export function whileRunning<T>(
  chunks: AsyncIterable<T>,
  signal: AbortSignal | undefined,
): AsyncIterable<T> {
  return signal === undefined ? chunks : running(chunks, signal);
}

async function* running<T>(
  chunks: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  for await (const chunk of chunks) {
    requireRunning(signal);
    yield chunk;
  }
  requireRunning(signal);
}

function aborted(signal: AbortSignal): AbortedError {
  return new AbortedError("ERR_ABORTED", "the caller's signal ended the call", {
    cause: signal.reason,
  });
}

class WatchedSource implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array, void> {
  readonly #pull: Pull;
  readonly #onProgress: Watching["onProgress"];
  readonly #signal: AbortSignal | undefined;
  readonly #stop = (): void => {
    this.#end();
  };
  #bytes = 0;
  #ended = false;

  constructor(source: ByteSource, onProgress: Watching["onProgress"], signal?: AbortSignal) {
    this.#pull = pullFrom(source);
    this.#onProgress = onProgress;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#stop, { once: true });
    if (signal?.aborted === true) this.#end();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, void>> {
    requireRunning(this.#signal);
    if (this.#ended) return { done: true, value: undefined };
    const chunk = await unlessAborted(this.#pull.next(), this.#signal);
    if (chunk === undefined) {
      this.#ended = true;
      this.#signal?.removeEventListener("abort", this.#stop);
      return { done: true, value: undefined };
    }
    this.#bytes += chunk.length;
    this.#onProgress?.(this.#bytes);
    return { done: false, value: chunk };
  }

  return(): Promise<IteratorResult<Uint8Array, void>> {
    this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#signal?.removeEventListener("abort", this.#stop);
    // Not awaited: a source that waits for bytes may answer only when they come.
    this.#pull.end().catch(() => undefined);
  }
}

/** A source of any kind, read a chunk at a time. */
interface Pull {
  /** The next chunk; undefined at the end. */
  next(): Promise<Uint8Array | undefined>;
  /** Releases what is behind the source, also while `next` waits. */
  end(): Promise<void>;
}

function pullFrom(source: ByteSource): Pull {
  if (source instanceof Uint8Array) return pullFromIterator(slices(source));
  if (source instanceof Readable) {
    const pull = pullFromIterator(source[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>);
    const end = (): Promise<void> => {
      source.destroy();
      return Promise.resolve();
    };
    return { next: () => pull.next(), end };
  }
  // A web stream's iterator would wait for a read to finish before it ends.
  if ("getReader" in source && typeof source.getReader === "function") {
    return pullFromWeb(source);
  }
  if (Symbol.asyncIterator in source) return pullFromIterator(source[Symbol.asyncIterator]());
  return pullFromIterator(source[Symbol.iterator]());
}

function pullFromIterator(iterator: AsyncIterator<Uint8Array> | Iterator<Uint8Array>): Pull {
  return {
    async next() {
      const next = await iterator.next();
      return next.done === true ? undefined : next.value;
    },
    async end() {
      await iterator.return?.();
    },
  };
}

function pullFromWeb(source: ReadableStream<Uint8Array>): Pull {
  const reader = source.getReader();
  return {
    async next() {
      const { done, value } = await reader.read();
      return done ? undefined : value;
    },
    async end() {
      await reader.cancel();
    },
  };
}

/** Bytes in memory, in pieces: so that they can be watched, too. */
function* slices(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    yield bytes.subarray(at, at + SLICE_BYTES);
  }
}

const SLICE_BYTES = 256 * 1024;
