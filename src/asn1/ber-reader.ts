/**
 * BER (X.690 §8) as a stream: walks into values whose end may not be known, reads small ones whole
 * and lets long strings pass by, in constant memory whatever their length.
 *
 * `tag`, `enter` and `leave` walk; `der` and `sent` read one value whole; `content` is a string's
 * octets, however they are cut up. All that is not a string's octets counts as header, of which
 * there is a limit.
 */
import { concatAll } from "../bytes.js";
import { AuthenticationError, FormatError } from "../errors.js";
import type { Reader } from "../stream.js";
import {
  berHeader,
  CONSTRUCTED,
  malformed,
  MAX_DEPTH,
  MAX_HEADER_BYTES,
  toDer,
  type BerHeader,
} from "./ber.js";
import { TAG, tagText } from "./der.js";

/** How many bytes a message may have besides the octets of its long strings. */
export const MAX_HEADER_VALUES_BYTES = 4 * 1024 * 1024;

/** `content` joins small pieces up to this length, and up to the other into reused memory. */
const PIECE_BYTES = 256 * 1024;
const REUSED_PIECE_BYTES = 1024 * 1024;

/** A value that was entered. */
interface Frame {
  /** Where its content ends; undefined: where two zero bytes stand. */
  readonly end: number | undefined;
  /** Where the innermost value with a known length ends, itself or one around it. */
  readonly limit: number;
}

export class BerReader {
  readonly #source: Reader;
  readonly #what: string;
  /** Bytes from the source that were not read yet, from `#from` on. */
  #buffer: Uint8Array = new Uint8Array(0);
  #from = 0;
  /** Bytes read so far. */
  #at = 0;
  #headerBytes = 0;
  #frames: Frame[] = [];
  #reuse = false;

  /** `what` names the message in errors. */
  constructor(source: Reader, what: string) {
    this.#source = source;
    this.#what = what;
  }

  /** Bytes read so far. What was taken from the source is more. */
  get offset(): number {
    return this.#at;
  }

  /** The next tag inside the value that was entered last; undefined at its end. */
  async tag(): Promise<number | undefined> {
    const { end, limit } = this.#frame();
    if (this.#at === end) return undefined;
    await this.#atLeast(2);
    const [tag, next] = [this.#buffer[this.#from], this.#buffer[this.#from + 1]];
    if (tag === undefined) {
      if (this.#frames.length === 0) return undefined;
      throw this.#cutOff();
    }
    if (this.#at >= limit) throw this.#beyond();
    if (tag !== 0) return tag;
    if (next === undefined) throw this.#cutOff();
    if (end !== undefined || this.#frames.length === 0 || next !== 0) {
      throw malformed(this.#what, "an end of contents where there is none to end");
    }
    return undefined;
  }

  /** Goes into the next value, which must have this tag, a constructed one. */
  async enter(tag: number): Promise<void> {
    const { length } = await this.#header(tag);
    this.#push(length);
  }

  /** Leaves the value that was entered last. Refuses values that are left in it. */
  async leave(): Promise<void> {
    const tag = await this.tag();
    if (tag !== undefined) throw malformed(this.#what, `a value too many, of tag ${tagText(tag)}`);
    if (this.#frame().end === undefined) this.#count(2);
    if (this.#frames.pop() === undefined) throw new TypeError("no value was entered");
  }

  /** The next value whole, made DER. */
  async der(tag?: number): Promise<Uint8Array> {
    return toDer(await this.sent(tag), this.#what);
  }

  /** The next value whole, as it was sent; a copy. */
  async sent(tag?: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    await this.#whole(tag, parts);
    return concatAll(parts);
  }

  /**
   * The octets of the next value, an OCTET STRING with this primitive tag, or in pieces under the
   * constructed one (X.690 §8.7). To be read to its end before anything else is read.
   *
   * @param tag - 0x04, or 0x80 for `[0] IMPLICIT` and so on
   * @param reuse - a chunk holds only until the next one is asked for, which saves memory
   */
  async *content(tag: number, reuse = false): AsyncGenerator<Uint8Array, void, undefined> {
    this.#reuse = reuse;
    const found = await this.tag();
    if (found === tag) {
      const { length = 0 } = await this.#header(tag);
      yield* this.#octets(length);
    } else {
      await this.enter(tag | CONSTRUCTED);
      yield* this.#pieces();
    }
    this.#reuse = false;
  }

  /** Refuses bytes after the last value. Waits for the source's end. */
  async end(): Promise<void> {
    if (this.#frames.length > 0) throw new TypeError("a value was not left");
    if (!(await this.#atLeast(1))) return;
    throw new FormatError("ERR_TRAILING", `bytes follow the end of ${this.#what}`, {
      hint: "it was altered, or two files were joined; get it again as it was sent",
    });
  }

  // ── Strings ──

  async *#octets(length: number): AsyncGenerator<Uint8Array, void, undefined> {
    for (let left = length; left > 0;) {
      if (!(await this.#atLeast(1))) throw this.#cutOff();
      const bytes = this.#buffer.subarray(this.#from, this.#from + left);
      this.#skip(bytes.length);
      left -= bytes.length;
      yield bytes;
    }
  }

  /** Inside a constructed string, to its end. Waits only for bytes that are not at hand. */
  async *#pieces(): AsyncGenerator<Uint8Array, void, undefined> {
    const outermost = this.#frames.length;
    const most = this.#reuse ? REUSED_PIECE_BYTES : PIECE_BYTES;
    let joined = pieceBuffer(most);
    let filled = 0;
    const full = (): Uint8Array => {
      const bytes = joined.subarray(0, filled);
      if (!this.#reuse) joined = pieceBuffer(most);
      filled = 0;
      return bytes;
    };
    while (this.#frames.length >= outermost) {
      if (this.#buffer.length - this.#from < MAX_HEADER_BYTES) {
        await this.#atLeast(MAX_HEADER_BYTES);
      }
      const length = this.#nextPiece();
      for (let left = length; left > 0;) {
        if (this.#from === this.#buffer.length && !(await this.#atLeast(1))) throw this.#cutOff();
        const bytes = this.#buffer.subarray(this.#from, this.#from + left);
        this.#skip(bytes.length);
        left -= bytes.length;
        const isLarge = bytes.length > PIECE_BYTES / 2;
        if (filled > 0 && (isLarge || bytes.length > most - filled)) yield full();
        if (isLarge) {
          yield bytes;
        } else {
          joined.set(bytes, filled);
          filled += bytes.length;
        }
      }
    }
    if (filled > 0) yield full();
  }

  /**
   * Goes on to the next piece of a constructed string, or to the end of one; the piece's length,
   * which is 0 where there is none. The header must be at hand.
   */
  #nextPiece(): number {
    const { end, limit } = this.#frame();
    if (this.#at === end) {
      this.#frames.pop();
      return 0;
    }
    const header = berHeader(this.#buffer, this.#from, this.#what);
    if (header === undefined) throw this.#cutOff();
    const { tag, length, headerBytes } = header;
    if (this.#at + headerBytes > limit) throw this.#beyond();
    this.#skip(headerBytes);
    if (tag === 0 && length === 0 && end === undefined && headerBytes === 2) {
      this.#frames.pop();
      return 0;
    }
    if (tag === (TAG.octetString | CONSTRUCTED)) {
      this.#push(length);
      return 0;
    }
    if (tag !== TAG.octetString || length === undefined) {
      throw malformed(this.#what, `a string with a piece of tag ${tagText(tag)}`);
    }
    if (this.#at + length > limit) throw this.#beyond();
    return length;
  }

  // ── Values ──

  async #whole(tag: number | undefined, parts: Uint8Array[]): Promise<void> {
    const found = await this.tag();
    if (found === undefined) throw this.#missing(tag);
    const { length, bytes } = await this.#header(tag ?? found);
    parts.push(bytes);
    if (length !== undefined) {
      parts.push(await this.#take(length));
      return;
    }
    this.#push(length);
    while ((await this.tag()) !== undefined) await this.#whole(undefined, parts);
    await this.leave();
    parts.push(END_OF_CONTENTS);
  }

  /** The header of the next value, which must have this tag. */
  async #header(tag: number): Promise<BerHeader & { readonly bytes: Uint8Array }> {
    const found = await this.tag();
    if (found === undefined) throw this.#missing(tag);
    if (found !== tag) {
      throw malformed(this.#what, `tag ${tagText(found)} instead of ${tagText(tag)}`);
    }
    await this.#atLeast(MAX_HEADER_BYTES);
    const header = berHeader(this.#buffer, this.#from, this.#what);
    if (header === undefined) throw this.#cutOff();
    const { length = 0, headerBytes } = header;
    if (this.#at + headerBytes + length > this.#frame().limit) throw this.#beyond();
    const bytes = new Uint8Array(this.#buffer.subarray(this.#from, this.#from + headerBytes));
    this.#count(headerBytes);
    return { ...header, bytes };
  }

  #push(length: number | undefined): void {
    if (this.#frames.length >= MAX_DEPTH) throw this.#tooDeep();
    const end = length === undefined ? undefined : this.#at + length;
    this.#frames.push({ end, limit: end ?? this.#frame().limit });
  }

  #frame(): Frame {
    return this.#frames.at(-1) ?? OUTERMOST;
  }

  // ── Bytes ──

  async #take(length: number): Promise<Uint8Array> {
    this.#requireSmall(length);
    if (!(await this.#atLeast(length))) throw this.#cutOff();
    const bytes = new Uint8Array(this.#buffer.subarray(this.#from, this.#from + length));
    this.#count(length);
    return bytes;
  }

  /** Moves over bytes of the header that are at hand. */
  #count(bytes: number): void {
    this.#requireSmall(bytes);
    this.#headerBytes += bytes;
    this.#skip(bytes);
  }

  #requireSmall(more: number): void {
    if (this.#headerBytes + more <= MAX_HEADER_VALUES_BYTES) return;
    throw new FormatError(
      "ERR_HEADER_SIZE",
      `${this.#what} has more than ${MAX_HEADER_VALUES_BYTES} bytes besides its content`,
    );
  }

  #skip(bytes: number): void {
    this.#from += bytes;
    this.#at += bytes;
  }

  /** Waits until so many bytes are at hand, in one piece. False: the source ends before that. */
  async #atLeast(length: number): Promise<boolean> {
    const parts = [this.#buffer.subarray(this.#from)];
    let bytes = this.#buffer.length - this.#from;
    while (bytes < length) {
      // A copy: the next bytes may come in the same memory.
      if (bytes > 0) parts.push(new Uint8Array(parts.pop() ?? []));
      const more = await this.#source.some(this.#reuse);
      if (more === undefined) break;
      parts.push(more);
      bytes += more.length;
    }
    if (parts.length > 1) {
      const filled = parts.filter((part) => part.length > 0);
      this.#buffer = filled.length === 1 ? (filled[0] as Uint8Array) : concatAll(filled);
      this.#from = 0;
    }
    return bytes >= length;
  }

  // ── Errors ──

  #cutOff(): AuthenticationError {
    const read = this.#at + this.#buffer.length - this.#from;
    return new AuthenticationError(
      "ERR_TRUNCATED",
      `${this.#what} is cut off after ${read} bytes`,
      {
        hint: "the rest is missing; get it again, whole",
      },
    );
  }

  #missing(tag: number | undefined): FormatError {
    const which = tag === undefined ? "a value" : `the value of tag ${tagText(tag)}`;
    return new FormatError("ERR_BER", `${this.#what} lacks ${which}`);
  }

  #beyond(): FormatError {
    return malformed(this.#what, "a value that is longer than the one around it");
  }

  #tooDeep(): FormatError {
    return malformed(this.#what, `values nested more than ${MAX_DEPTH} deep`);
  }
}

/** Around the first value: the whole source. */
const OUTERMOST: Frame = { end: undefined, limit: Infinity };

const END_OF_CONTENTS = new Uint8Array(2);

function pieceBuffer(bytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
}
