/**
 * Values in BER (X.690 §8) made DER (§10), so that the strict `DerReader` reads what others wrote
 * loosely: with lengths that are indefinite or longer than they need be, strings in pieces,
 * booleans that are any non-zero byte.
 *
 * The order of a SET OF stays as it is, and so do pieces of a string under a context tag: only a
 * schema tells what such a tag stands for.
 */
import { concatAll } from "../bytes.js";
import { FormatError } from "../errors.js";
import { der, TAG } from "./der.js";

/** How deep values may be nested. */
export const MAX_DEPTH = 32;

/** Bit 6 of a tag: the content is a series of values. */
export const CONSTRUCTED = 0x20;

/** The longest header of a value: tag, length of the length, eight bytes of it. */
export const MAX_HEADER_BYTES = 10;

/** What stands before a value's content. */
export interface BerHeader {
  readonly tag: number;
  /** Of the content; undefined: it ends with two zero bytes. */
  readonly length: number | undefined;
  /** How long the header itself is. */
  readonly headerBytes: number;
}

/**
 * The header at `at`. `undefined` where `bytes` end before it does.
 *
 * @param what - names the message in errors
 * @throws FormatError `ERR_BER`
 */
export function berHeader(bytes: Uint8Array, at: number, what: string): BerHeader | undefined {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined) return undefined;
  if ((tag & 0x1f) === 0x1f) throw malformed(what, "a tag of several bytes");
  if (first === undefined) return undefined;
  if (first < 0x80) return { tag, length: first, headerBytes: 2 };
  if (first === 0x80) {
    if ((tag & CONSTRUCTED) === 0) throw malformed(what, "a primitive value without a length");
    return { tag, length: undefined, headerBytes: 2 };
  }
  const size = first & 0x7f;
  if (size > MAX_HEADER_BYTES - 2) throw malformed(what, "a length of more than 8 bytes");
  let length = 0;
  for (let i = 0; i < size; i++) {
    const byte = bytes[at + 2 + i];
    if (byte === undefined) return undefined;
    length = length * 256 + byte;
  }
  if (!Number.isSafeInteger(length)) throw malformed(what, "a length of 2^53 bytes or more");
  return { tag, length, headerBytes: 2 + size };
}

/**
 * One whole value, made DER; a view of the same bytes where they are DER already.
 *
 * @throws FormatError `ERR_BER`, `ERR_TRUNCATED`, `ERR_TRAILING`
 */
export function toDer(value: Uint8Array, what: string): Uint8Array {
  if (isDer(value)) return value;
  const { made, next } = transcoded(value, { at: 0, end: value.length, depth: 0 }, what);
  if (next < value.length) {
    throw new FormatError("ERR_TRAILING", `${value.length - next} bytes after a value of ${what}`);
  }
  return made;
}

/** FormatError `ERR_BER`. */
export function malformed(what: string, found: string): FormatError {
  return new FormatError("ERR_BER", `${what} has ${found}`);
}

// ── Already DER ──

/** False also for what is no value at all. Copies nothing: most messages need nothing more. */
function isDer(value: Uint8Array): boolean {
  return derEnd(value, 0, value.length, 0) === value.length;
}

/** Where the value at `at` ends; undefined: it is not DER, or `toDer` has something to refuse. */
function derEnd(bytes: Uint8Array, at: number, end: number, depth: number): number | undefined {
  const tag = bytes[at] ?? 0;
  if (depth >= MAX_DEPTH || tag === 0 || (tag & 0x1f) === 0x1f) return undefined;
  let length = bytes[at + 1] ?? 0x80;
  let start = at + 2;
  if (length >= 0x80) {
    const size = length & 0x7f;
    if (size === 0 || size > 6) return undefined;
    length = 0;
    for (let i = 0; i < size; i++) length = length * 256 + (bytes[start++] ?? 0);
    if (length < 0x80 || length < 256 ** (size - 1)) return undefined;
  }
  const next = start + length;
  if (next > end) return undefined;
  if ((tag & CONSTRUCTED) === 0) {
    return tag === TAG.boolean && !isDerBoolean(bytes.subarray(start, next)) ? undefined : next;
  }
  if (isUniversalString(tag)) return undefined;
  for (let child = start; child < next;) {
    const after = derEnd(bytes, child, next, depth + 1);
    if (after === undefined) return undefined;
    child = after;
  }
  return next;
}

function isDerBoolean(content: Uint8Array): boolean {
  return content.length === 1 && (content[0] === 0 || content[0] === 0xff);
}

// ── Made DER ──

interface Place {
  readonly at: number;
  /** No value goes further: the end of what is around it. */
  readonly end: number;
  readonly depth: number;
}

interface Transcoded {
  readonly made: Uint8Array;
  /** Where the next value starts. */
  readonly next: number;
}

function transcoded(bytes: Uint8Array, { at, end, depth }: Place, what: string): Transcoded {
  if (depth >= MAX_DEPTH) throw malformed(what, `values nested more than ${MAX_DEPTH} deep`);
  const header = berHeader(bytes, at, what);
  if (header === undefined || at + header.headerBytes > end) throw cutOff(what);
  const { tag, length, headerBytes } = header;
  if (tag === 0) throw malformed(what, "an end of contents where there is none to end");
  const start = at + headerBytes;
  const stop = length === undefined ? end : start + length;
  if (stop > end) throw cutOff(what);
  if ((tag & CONSTRUCTED) === 0) {
    const content = bytes.subarray(start, stop);
    return { made: der(tag, primitive(tag, content, what)), next: stop };
  }
  const parts: Uint8Array[] = [];
  let next = start;
  for (;;) {
    if (length !== undefined && next === stop) break;
    if (length === undefined && bytes[next] === 0 && bytes[next + 1] === 0 && next + 2 <= stop) {
      next += 2;
      break;
    }
    const child = transcoded(bytes, { at: next, end: stop, depth: depth + 1 }, what);
    parts.push(child.made);
    next = child.next;
  }
  const made = isUniversalString(tag)
    ? joined(tag & ~CONSTRUCTED, parts, what)
    : der(tag, ...parts);
  return { made, next };
}

function primitive(tag: number, content: Uint8Array, what: string): Uint8Array {
  if (tag !== TAG.boolean) return content;
  if (content.length !== 1) throw malformed(what, "a boolean that is not one byte");
  return Uint8Array.of(content[0] === 0 ? 0 : 0xff);
}

/**
 * The pieces of a string, each of which is a string of the same kind (§8.6.4, §8.7.3, §8.23.6).
 */
function joined(tag: number, pieces: readonly Uint8Array[], what: string): Uint8Array {
  const contents = pieces.map((piece) => {
    // A piece of a character string may be one, or an OCTET STRING.
    if (piece[0] !== tag && (tag === TAG.bitString || piece[0] !== TAG.octetString)) {
      throw malformed(what, "a string whose pieces are of another kind");
    }
    return contentOf(piece, what);
  });
  if (tag !== TAG.bitString) return der(tag, ...contents);
  const unused = contents.map(([count = 0]) => count);
  if (contents.some((content) => content.length === 0) || unused.slice(0, -1).some((n) => n > 0)) {
    throw malformed(what, "a bit string whose pieces are not whole bytes");
  }
  const bits = contents.map((content) => content.subarray(1));
  return der(tag, Uint8Array.of(unused.at(-1) ?? 0), concatAll(bits));
}

function contentOf(value: Uint8Array, what: string): Uint8Array {
  return value.subarray(berHeader(value, 0, what)?.headerBytes ?? value.length);
}

/** A constructed tag that stands for a string in pieces, whatever the schema. */
function isUniversalString(tag: number): boolean {
  return STRINGS_IN_PIECES.has(tag);
}

/**
 * BIT STRING, OCTET STRING, UTF8String, and the character strings and times from 18 to 30
 * (X.680 §8.4, table 1).
 */
const STRINGS_IN_PIECES: ReadonlySet<number> = new Set(
  [3, 4, 12, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30].map((number) => number | CONSTRUCTED),
);

function cutOff(what: string): FormatError {
  return new FormatError("ERR_TRUNCATED", `a value of ${what} ends before its length`);
}
