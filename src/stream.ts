/**
 * Streams of bytes. The code uses one type, `AsyncIterable<Uint8Array>`, and converts at the edges.
 * A chunk is whatever a stream happens to deliver at once; its size has no meaning.
 */
import { Readable } from "node:stream";
import { concat, concatAll, unshared } from "./bytes.js";
import { AuthenticationError } from "./errors.js";

/**
 * Any source of bytes. `ReadableStream` is the web's, by its global name: in programs compiled with
 * TypeScript's DOM types that is a type of its own, which need not be an async iterable. In Node
 * each one is.
 */
export type ByteSource =
  AsyncIterable<Uint8Array> | Iterable<Uint8Array> | ReadableStream<Uint8Array> | Uint8Array;

/**
 * A source that can also write into its reader's buffer, which saves a copy. A reader uses either
 * `fill` or iteration, not both.
 */
export interface FillingSource extends AsyncIterable<Uint8Array> {
  /**
   * Writes bytes to the start of `target`. Resolves to their number, which is 0 only at the end.
   * One call at a time.
   */
  fill(target: Uint8Array): Promise<number>;
}

/** Makes a source of a function that fills buffers. */
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

/** The same bytes; `see` gets each chunk as it passes, and must copy what it keeps. */
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

/** Bytes read at once: a segment of the default size. */
const CHUNK_BYTES = 256 * 1024;

/** The same into memory that is used again. Long streams take fewer steps, each of which costs. */
const AGAIN_BYTES = 4 * CHUNK_BYTES;

/**
 * An output stream that can be read once: by iteration, as a Node or web stream, or as a whole. Its
 * chunks are never in shared memory, which the web's `Response` and `Blob` refuse.
 */
export class ByteStream implements AsyncIterable<Uint8Array<ArrayBuffer>> {
  readonly #chunks: AsyncIterable<Uint8Array>;
  readonly #release: () => Promise<void>;
  #taken = false;

  /** `release` frees what the chunks are made from. It may be called more than once. */
  constructor(
    chunks: AsyncIterable<Uint8Array>,
    release: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.#chunks = chunks;
    this.#release = release;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array<ArrayBuffer>> {
    // A second reader would find nothing, and mistake that for an empty message.
    if (this.#taken) throw new TypeError("a byte stream can be read only once");
    this.#taken = true;
    const iterator = this.#chunks[Symbol.asyncIterator]();
    return {
      next: async () => {
        const next = await iterator.next();
        if (next.done === true) return { done: true, value: undefined };
        return { done: false, value: unshared(next.value) };
      },
      // A generator that is ended before its first step never runs its own `finally`.
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
  web(): ReadableStream<Uint8Array<ArrayBuffer>> {
    // The global class, since Node loads that one lazily.
    return globalThis.ReadableStream.from(this);
  }

  /** All of it, in memory: for messages known to be small. */
  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return collect(this);
  }

  /** Frees what is behind a stream that will not be read. */
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
export async function collect(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks(source)) parts.push(chunk);
  return concatAll(parts);
}

/** Reads exact lengths from a source, whatever chunks it comes in. */
export class Reader {
  readonly #source: ByteSource;
  /** The source's own chunks. */
  readonly #undecoded: AsyncGenerator<Uint8Array, void, undefined>;
  #chunks: AsyncGenerator<Uint8Array, void, undefined>;
  #fill: FillingSource["fill"] | undefined;
  #isDecoded = false;
  #ended = false;
  #started = false;
  #current: Uint8Array = new Uint8Array(0);
  #offset = 0;
  #consumed = 0;
  /** Buffer for small reads from a filling source. */
  #small: Uint8Array | undefined;
  /** What `some` has not filled yet of its buffer. */
  #room: Uint8Array = new Uint8Array(0);
  /** What `some` fills again and again. */
  #again: Uint8Array | undefined;

  constructor(source: ByteSource) {
    this.#source = source;
    this.#undecoded = chunks(source);
    this.#chunks = this.#undecoded;
    this.#fill = isFilling(source) ? (target) => source.fill(target) : undefined;
  }

  /** Bytes handed out so far. */
  get consumed(): number {
    return this.#consumed;
  }

  /** True if what is read is made from the source's bytes: positions are not the source's then. */
  get isDecoded(): boolean {
    return this.#isDecoded;
  }

  /** From here on, reads what `decode` makes of the rest of the source. */
  decode(decode: (rest: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>): void {
    this.#chunks = chunks(decode(this.#rest(this.atHand(Infinity), this.#fill, this.#chunks)));
    this.#current = new Uint8Array(0);
    this.#offset = 0;
    this.#fill = undefined;
    this.#isDecoded = true;
  }

  async *#rest(
    atHand: Uint8Array,
    fill: FillingSource["fill"] | undefined,
    later: AsyncGenerator<Uint8Array, void, undefined>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    if (atHand.length > 0) yield atHand;
    if (fill === undefined) {
      this.#started = true;
      yield* later;
    } else {
      const filled = (target: Uint8Array): Promise<number> => this.#filled(fill, target);
      yield* fillingSource(filled);
    }
  }

  /**
   * The next `length` bytes, or as many as there are before the source ends; they stay to be read.
   */
  async peek(length: number): Promise<Uint8Array> {
    while (this.#current.length - this.#offset < length) {
      // A copy: the next chunk may come in the same buffer.
      const seen = this.#current.slice(this.#offset);
      const isMore = await this.#next();
      if (!isMore) this.#current = seen;
      else if (seen.length > 0) this.#current = concat(seen, this.#current);
      this.#offset = 0;
      if (!isMore) break;
    }
    return this.#current.slice(this.#offset, this.#offset + length);
  }

  /** Exactly `length` bytes, or as many as there are before the source ends. Always a copy. */
  async upTo(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    const filled = await this.into(bytes);
    return filled === length ? bytes : bytes.slice(0, filled);
  }

  /** Fills `target` from its start. Resolves to the number of bytes that the source still had. */
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

  /**
   * What is at hand, without waiting for the source: up to `most` of the bytes that come next. They
   * stay to be read.
   */
  atHand(most: number): Uint8Array {
    return this.#current.slice(this.#offset, this.#offset + most);
  }

  /**
   * Bytes that come next, as many as there are without waiting longer than for the first; undefined
   * at the end.
   *
   * @param reuse - the bytes hold until the reader is asked for more, which saves memory; otherwise
   *   the reader does not write to them again
   */
  async some(reuse = false): Promise<Uint8Array | undefined> {
    if (this.#offset === this.#current.length) {
      if (this.#fill !== undefined) {
        if (reuse) {
          this.#again ??= new Uint8Array(Buffer.allocUnsafeSlow(AGAIN_BYTES).buffer);
          this.#room = this.#again;
        } else if (this.#room === this.#again || this.#room.length < DIRECT_BYTES) {
          this.#room = new Uint8Array(Buffer.allocUnsafeSlow(CHUNK_BYTES).buffer);
        }
        const filled = await this.#filled(this.#fill, this.#room);
        const chunk = this.#room.subarray(0, filled);
        if (!reuse) this.#room = this.#room.subarray(filled);
        this.#consumed += filled;
        return filled === 0 ? undefined : chunk;
      }
      if (!(await this.#next())) return undefined;
    }
    const bytes = this.#current.subarray(this.#offset);
    this.#offset = this.#current.length;
    this.#consumed += bytes.length;
    return bytes;
  }

  /** Exactly `length` bytes, or throws `ERR_TRUNCATED`; `what` names them in the message. */
  async exactly(length: number, what: string): Promise<Uint8Array> {
    const bytes = await this.upTo(length);
    if (bytes.length < length) {
      throw new AuthenticationError(
        "ERR_TRUNCATED",
        `${what} is cut off after ${bytes.length} of ${length} bytes`,
        { hint: "the rest is missing; get it again, whole" },
      );
    }
    return bytes;
  }

  /**
   * Ends the source, whether read to its end or not, so that the file or process behind it is
   * released. Never rejects, since it may run while a more important error is being thrown.
   */
  async close(): Promise<void> {
    try {
      await this.#chunks.return(undefined);
      if (this.#isDecoded) await this.#undecoded.return(undefined);
      if (!this.#started) await abandon(this.#source);
    } catch {
      // Nothing more is needed from the source.
    }
  }

  /** A terminal reports its end only once; reading again would continue. */
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

/** What `reader` still has, in chunks of its own memory each. */
export async function* remaining(reader: Reader): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const bytes = await reader.upTo(CHUNK_BYTES);
    if (bytes.length === 0) return;
    yield bytes;
  }
}

/** All of `source`; a chunk holds only until the next one is asked for. */
export async function* passing(source: ByteSource): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = new Reader(source);
  try {
    for (;;) {
      const bytes = await reader.some(true);
      if (bytes === undefined) return;
      yield bytes;
    }
  } finally {
    await reader.close();
  }
}

/** Reads smaller than this go through a buffer of the reader's own. */
const DIRECT_BYTES = 64 * 1024;

/** Whether a source fills buffers. Such a source can be released while it is being read. */
export function isFilling(source: ByteSource): source is FillingSource {
  return !(source instanceof Uint8Array) && "fill" in source && !Array.isArray(source);
}

/** Ends a source that was never read: its iterator's `return` would not reach it. */
async function abandon(source: ByteSource): Promise<void> {
  if (source instanceof Uint8Array) return;
  if (source instanceof Readable) source.destroy();
  else if (Symbol.asyncIterator in source) await source[Symbol.asyncIterator]().return?.();
  else source[Symbol.iterator]().return?.();
}
