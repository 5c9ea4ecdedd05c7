/**
 * Streams of bytes. One type inside, `AsyncIterable<Uint8Array>`, and conversions at the border.
 * What a stream happens to deliver at once is a chunk; its size means nothing.
 */
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { concat } from "./bytes.js";
import { AuthenticationError } from "./errors.js";

/** Anything bytes can be read from. Node's and the web's readable streams are async iterables. */
export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array> | Uint8Array;

/** A source that also puts bytes where its reader wants them, which saves a copy. It is read one way or the other. */
export interface FillingSource extends AsyncIterable<Uint8Array> {
  /** Puts bytes into `target` from its start and tells how many; 0 at the end only. One call at a time. */
  fill(target: Uint8Array): Promise<number>;
}

/** A source from what fills buffers. */
export function fillingSource(fill: FillingSource["fill"]): FillingSource {
  return {
    fill,
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const buffer = new Uint8Array(Buffer.allocUnsafeSlow(CHUNK_BYTES).buffer);
        const filled = await fill(buffer);
        if (filled === 0) return;
        yield buffer.subarray(0, filled);
      }
    },
  };
}

/** The same bytes, each shown to `see` as it passes; what it keeps of them it copies. */
export function tapped(
  source: AsyncIterable<Uint8Array> | FillingSource,
  see: (bytes: Uint8Array) => void,
): AsyncIterable<Uint8Array> {
  if (isFilling(source)) {
    return fillingSource(async (target) => {
      const filled = await source.fill(target);
      see(target.subarray(0, filled));
      return filled;
    });
  }
  return seen(source, see);
}

async function* seen(
  source: AsyncIterable<Uint8Array>,
  see: (bytes: Uint8Array) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of source) {
    see(chunk);
    yield chunk;
  }
}

/** What is read at once: a segment of the default size. */
const CHUNK_BYTES = 256 * 1024;

/** Bytes on their way out, once: iterate it, or take it as a Node stream, a web stream, or whole. */
export class ByteStream implements AsyncIterable<Uint8Array> {
  readonly #chunks: AsyncIterable<Uint8Array>;
  readonly #release: () => Promise<void>;
  #taken = false;

  /** `release` lets go of what the chunks are made from; it may be called more than once. */
  constructor(
    chunks: AsyncIterable<Uint8Array>,
    release: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.#chunks = chunks;
    this.#release = release;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    // A second reader would find nothing, and take that for an empty message.
    if (this.#taken) throw new TypeError("a byte stream can be read once only");
    this.#taken = true;
    const iterator = this.#chunks[Symbol.asyncIterator]();
    return {
      next: () => iterator.next(),
      // A generator that is ended before its first step never gets to its own `finally`.
      return: async () => {
        await iterator.return?.();
        await this.#release();
        return { done: true, value: undefined };
      },
    };
  }

  /** As a Node stream. An error in the stream destroys it with that error. */
  node(): Readable {
    return Readable.from(this, { objectMode: false });
  }

  /** As a web stream. */
  web(): ReadableStream<Uint8Array> {
    // The global one, which Node loads when it is first used.
    const stream: ReadableStream<Uint8Array> = globalThis.ReadableStream.from(this);
    return stream;
  }

  /** Everything, in memory: for messages known to be small. */
  bytes(): Promise<Uint8Array> {
    return collect(this);
  }

  /** Lets go of what is behind a stream that will not be read. */
  async close(): Promise<void> {
    this.#taken = true;
    await this.#release();
  }
}

/** The chunks of any source, each checked to be bytes. */
export async function* chunks(source: ByteSource): AsyncGenerator<Uint8Array, void, undefined> {
  if (source instanceof Uint8Array) {
    yield source;
    return;
  }
  for await (const chunk of source) {
    if (!(chunk instanceof Uint8Array)) {
      throw new TypeError("a byte source delivered something other than a Uint8Array");
    }
    if (chunk.length > 0) yield chunk;
  }
}

/** Everything a source delivers, joined. */
export async function collect(source: ByteSource): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks(source)) parts.push(chunk);
  return concat(...parts);
}

/** Reads exact lengths from a source, whatever chunks it comes in. */
export class Reader {
  readonly #source: ByteSource;
  readonly #chunks: AsyncGenerator<Uint8Array, void, undefined>;
  readonly #fill: FillingSource["fill"] | undefined;
  #ended = false;
  #started = false;
  #current: Uint8Array = new Uint8Array(0);
  #offset = 0;
  #consumed = 0;
  /** For what a filling source has, where little is wanted. */
  #small: Uint8Array | undefined;

  constructor(source: ByteSource) {
    this.#source = source;
    this.#chunks = chunks(source);
    this.#fill = isFilling(source) ? (target) => source.fill(target) : undefined;
  }

  /** Bytes handed out so far. */
  get consumed(): number {
    return this.#consumed;
  }

  /** Exactly `length` bytes, or as many as there are before the source ends. Always a copy. */
  async upTo(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    const filled = await this.into(bytes);
    return filled === length ? bytes : bytes.slice(0, filled);
  }

  /** Fills `target` from its start; returns how many bytes the source still had. */
  async into(target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      if (this.#offset === this.#current.length) {
        const rest = target.subarray(filled);
        if (this.#fill !== undefined && rest.length >= DIRECT_BYTES) {
          const direct = await this.#filled(this.#fill, rest);
          if (direct === 0) break;
          filled += direct;
          continue;
        }
        if (!(await this.#next())) break;
      }
      const part = this.#current.subarray(this.#offset, this.#offset + target.length - filled);
      target.set(part, filled);
      filled += part.length;
      this.#offset += part.length;
    }
    this.#consumed += filled;
    return filled;
  }

  /** Exactly `length` bytes, or `ERR_TRUNCATED`: `what` names them. */
  async exactly(length: number, what: string): Promise<Uint8Array> {
    const bytes = await this.upTo(length);
    if (bytes.length < length) {
      throw new AuthenticationError(
        "ERR_TRUNCATED",
        `${what} ends after ${bytes.length} of ${length} bytes`,
      );
    }
    return bytes;
  }

  /**
   * Ends the source, read or not, so that a file or process behind it is let go. Never rejects: it
   * runs while something else, which matters more, may be on its way to the caller.
   */
  async close(): Promise<void> {
    try {
      await this.#chunks.return(undefined);
      if (!this.#started) await abandon(this.#source);
    } catch {
      // Nothing more is wanted from the source.
    }
  }

  /** A terminal has an end only once; asked again it would go on. */
  async #filled(fill: FillingSource["fill"], target: Uint8Array): Promise<number> {
    if (this.#ended) return 0;
    const filled = await fill(target);
    this.#ended = filled === 0;
    return filled;
  }

  async #next(): Promise<boolean> {
    if (this.#fill !== undefined) {
      this.#small ??= new Uint8Array(DIRECT_BYTES);
      this.#current = this.#small.subarray(0, await this.#filled(this.#fill, this.#small));
      this.#offset = 0;
      return this.#current.length > 0;
    }
    this.#started = true;
    const next = await this.#chunks.next();
    if (next.done === true) return false;
    this.#current = next.value;
    this.#offset = 0;
    return true;
  }
}

/** Less than this is read through a buffer of the reader's own. */
const DIRECT_BYTES = 64 * 1024;

/** Whether a source fills buffers. Such a source can be let go while it is being read. */
export function isFilling(source: ByteSource): source is FillingSource {
  return !(source instanceof Uint8Array) && "fill" in source && !Array.isArray(source);
}

/** Ends a source that was never asked for anything: its iterator's `return` would not reach it. */
async function abandon(source: ByteSource): Promise<void> {
  if (source instanceof Uint8Array) return;
  if (source instanceof Readable) source.destroy();
  else if (Symbol.asyncIterator in source) await source[Symbol.asyncIterator]().return?.();
  else source[Symbol.iterator]().return?.();
}
