/** Small helpers for bytes, which are `Uint8Array` everywhere. Nothing here knows a format. */
import { timingSafeEqual } from "node:crypto";
import { FormatError, type P11SealError } from "./errors.js";

const utf8 = new TextEncoder();

/** UTF-8 bytes of `text`. */
export function ascii(text: string): Uint8Array {
  return utf8.encode(text);
}

/** The parts, one after the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concatAll(parts);
}

/** As `concat`, of any number of parts: a call has room for some 100,000 arguments only. */
export function concatAll(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** The bytes, copied if they lie in memory that is shared with other threads. */
export function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return isUnshared(bytes) ? bytes : new Uint8Array(bytes);
}

function isUnshared(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer;
}

/** True if both hold the same bytes. The time depends only on the lengths. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** Strict hexadecimal: even length, no other characters. */
export function fromHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(text)) throw new FormatError("ERR_HEX", "not hexadecimal");
  return new Uint8Array(Buffer.from(text, "hex"));
}

/** Base64 with padding (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

/** Strict base64 (RFC 4648 §4): canonical, padded, no line breaks. */
export function fromBase64(text: string): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(text, "base64"));
  if (toBase64(bytes) !== text) throw new FormatError("ERR_BASE64", "not canonical base64");
  return bytes;
}

/** Base64 without padding (RFC 4648 §4), as age has it. */
export function toBareBase64(bytes: Uint8Array): string {
  return toBase64(bytes).replace(/=+$/, "");
}

/** Strict base64 without padding: canonical, no line breaks. */
export function fromBareBase64(text: string): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(text, "base64"));
  if (toBareBase64(bytes) !== text) throw new FormatError("ERR_BASE64", "not canonical base64");
  return bytes;
}

/** Base64url without padding (RFC 4648 §5), as JOSE uses it. */
export function toBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64url");
}

/** True for text in UTF-16: it has a byte order mark, or begins with ASCII. */
export function looksLikeUtf16(bytes: Uint8Array): boolean {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return true;
  const start = bytes.subarray(0, 64);
  // Of ASCII, every second byte is zero, and no other is.
  const isAscii = (zeros: 0 | 1): boolean =>
    start.every((byte, at) => (byte === 0) === (at % 2 === zeros));
  return start.length >= 4 && (isAscii(0) || isAscii(1));
}

/** Big-endian 16-bit number. */
export function u16(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) throw new RangeError("u16");
  return Uint8Array.of(value >>> 8, value & 0xff);
}

/** Big-endian 32-bit number. */
export function u32(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw new RangeError("u32");
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

/** Big-endian 64-bit number; `value` is a safe integer. */
export function u64(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError("u64");
  return concat(u32(Math.floor(value / 0x1_0000_0000)), u32(value % 0x1_0000_0000));
}

/**
 * Reads fields from bytes in order, never past the end. `what` names the thing being read, for
 * messages such as "header ends after 12 of 48 bytes". `fail` makes the error; by default it is a
 * `FormatError`, which parts of a message replace.
 */
export class Cursor {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  readonly #fail: (code: string, message: string) => P11SealError;
  #offset = 0;

  constructor(
    bytes: Uint8Array,
    what: string,
    fail: (code: string, message: string) => P11SealError = (code, message) =>
      new FormatError(code, message),
  ) {
    this.#bytes = bytes;
    this.#what = what;
    this.#fail = fail;
  }

  get offset(): number {
    return this.#offset;
  }

  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  /** The next `length` bytes (a view, not a copy). */
  take(length: number): Uint8Array {
    if (length > this.left) {
      throw this.#fail(
        "ERR_TRUNCATED",
        `${this.#what} ends after ${this.#bytes.length} of at least ${this.#offset + length} bytes`,
      );
    }
    const part = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return part;
  }

  u8(): number {
    return this.take(1)[0] as number;
  }

  u16(): number {
    const [a, b] = this.take(2) as unknown as [number, number];
    return (a << 8) | b;
  }

  u32(): number {
    const [a, b, c, d] = this.take(4) as unknown as [number, number, number, number];
    return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
  }

  /** Refuses bytes after the last field. */
  end(): void {
    if (this.left > 0) {
      throw this.#fail("ERR_TRAILING", `${this.left} bytes after the end of ${this.#what}`);
    }
  }
}

/** What is left of `parts` after their first `count` bytes. */
export function after(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  const left: Uint8Array[] = [];
  let skip = count;
  for (const part of parts) {
    if (skip < part.length) left.push(part.subarray(skip));
    skip = Math.max(0, skip - part.length);
  }
  return left;
}
