/**
 * DER (X.690 §10) as keys, certificates and messages need it: definite, minimal lengths and
 * one-byte tags. Reading and writing are side by side, so that a value read and written again gives
 * the same bytes.
 */
import { concat, Cursor, toHex } from "../bytes.js";
import { FormatError } from "../errors.js";

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Encodes a value: tag, length, and the parts as content. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return concat(derHeader(tag, length), ...parts);
}

/** What stands before a value's content of `length` bytes. */
export function derHeader(tag: number, length: number): Uint8Array<ArrayBuffer> {
  return concat(Uint8Array.of(tag), encodeLength(length));
}

/** INTEGER of an unsigned big-endian number. */
export function derUnsigned(value: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = withoutLeadingZeros(value);
  // X.690 §8.3: two's complement, so a set top bit needs a zero byte before it; zero is one byte.
  const needsZero = bytes.length === 0 || ((bytes[0] as number) & 0x80) !== 0;
  return der(TAG.integer, needsZero ? concat(Uint8Array.of(0), bytes) : bytes);
}

/** Reads the values of one constructed value in order. `what` names it in messages. */
export class DerReader {
  readonly #cursor: Cursor;
  readonly #bytes: Uint8Array;
  readonly #what: string;

  constructor(bytes: Uint8Array, what: string) {
    this.#cursor = new Cursor(bytes, what);
    this.#bytes = bytes;
    this.#what = what;
  }

  /** The tag of the next value, or `undefined` at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#cursor.offset];
  }

  /** The content of the next value, which must have this tag. */
  read(tag: number): Uint8Array {
    const found = this.#cursor.u8();
    if (found !== tag) {
      throw new FormatError(
        "ERR_DER",
        `${this.#what} has tag ${tagText(found)} instead of ${tagText(tag)}`,
      );
    }
    return this.#cursor.take(this.#length());
  }

  /** The next value, which must have this tag and no content. */
  readEmpty(tag: number): void {
    if (this.read(tag).length > 0) {
      throw new FormatError("ERR_DER", `${this.#what} has a value that must be empty`);
    }
  }

  /** A reader for the content of the next value, a SEQUENCE. */
  sequence(): DerReader {
    return this.constructed(TAG.sequence);
  }

  /** A reader for the content of the next value, which must have this tag. */
  constructed(tag: number): DerReader {
    return new DerReader(this.read(tag), this.#what);
  }

  /** The same if the next value has this tag; otherwise nothing is read. */
  optional(tag: number): DerReader | undefined {
    return this.peek() === tag ? this.constructed(tag) : undefined;
  }

  /** A BOOLEAN; `tag` may be an implicit one. */
  boolean(tag: number = TAG.boolean): boolean {
    const bytes = this.read(tag);
    // X.690 §11.1: nothing but 00 and FF.
    if (bytes.length !== 1 || (bytes[0] !== 0 && bytes[0] !== 0xff)) {
      throw new FormatError("ERR_DER", `${this.#what} has a boolean that is not DER`);
    }
    return bytes[0] === 0xff;
  }

  /**
   * An INTEGER that is not negative, big-endian without leading zeros (zero is no bytes); `tag`
   * may be an implicit one.
   */
  unsigned(tag: number = TAG.integer): Uint8Array {
    const bytes = this.read(tag);
    const [first, second] = bytes;
    if (first === undefined) throw new FormatError("ERR_DER", `${this.#what} has an empty number`);
    if ((first & 0x80) !== 0) {
      throw new FormatError("ERR_DER", `${this.#what} has a negative number`);
    }
    if (first === 0 && second !== undefined && (second & 0x80) === 0) {
      throw new FormatError("ERR_DER", `${this.#what} has a number with needless zeros`);
    }
    return first === 0 ? bytes.subarray(1) : bytes;
  }

  /** The same as a number. What is above 2^32 - 1 comes as that: counts and lengths end earlier. */
  count(tag: number = TAG.integer): number {
    const bytes = this.unsigned(tag);
    return bytes.length > 4 ? 0xffff_ffff : bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  }

  /**
   * A BIT STRING of named bits, up to 31 of them: bit n of ASN.1 is 2^n; `tag` may be an implicit
   * one.
   */
  namedBits(tag: number = TAG.bitString): number {
    const [unused, ...bytes] = this.read(tag);
    const last = bytes.at(-1) ?? 0;
    if (unused === undefined || unused > (bytes.length === 0 ? 0 : 7) || bytes.length > 4) {
      throw new FormatError("ERR_DER", `${this.#what} has a bit string that is not DER`);
    }
    if ((last & ((1 << unused) - 1)) !== 0) {
      throw new FormatError("ERR_DER", `${this.#what} has a bit string with bits beyond its end`);
    }
    let bits = 0;
    for (const [at, byte] of bytes.entries()) {
      for (let bit = 0; bit < 8; bit++)
        if ((byte & (0x80 >> bit)) !== 0) bits |= 1 << (8 * at + bit);
    }
    return bits >>> 0;
  }

  /** A BIT STRING of whole bytes. */
  bitString(): Uint8Array {
    const bytes = this.read(TAG.bitString);
    if (bytes[0] !== 0) {
      throw new FormatError("ERR_DER", `${this.#what} has a bit string that is not whole bytes`);
    }
    return bytes.subarray(1);
  }

  /** The next value whole, tag and length included; it must have this tag. */
  next(tag: number): Uint8Array {
    const start = this.#cursor.offset;
    this.read(tag);
    return this.#bytes.subarray(start, this.#cursor.offset);
  }

  /** The next value whole, whatever its tag. */
  any(): Uint8Array {
    const start = this.#cursor.offset;
    this.skip();
    return this.#bytes.subarray(start, this.#cursor.offset);
  }

  /** Skips the next value, whatever it is. */
  skip(): void {
    this.#cursor.u8();
    this.#cursor.take(this.#length());
  }

  /** Refuses values after the last one expected. */
  end(): void {
    this.#cursor.end();
  }

  #length(): number {
    const first = this.#cursor.u8();
    if (first < 0x80) return first;
    // X.690 §10.1: the shortest form only; 0x80 (indefinite) is BER. 16 MiB - 1 is far above any
    // key.
    const size = first & 0x7f;
    if (size === 0 || size > 3) {
      throw new FormatError("ERR_DER", `${this.#what} has a length that is not DER`);
    }
    let length = 0;
    for (const byte of this.#cursor.take(size)) length = length * 256 + byte;
    if (encodeLength(length).length !== size + 1) {
      throw new FormatError("ERR_DER", `${this.#what} has a length that is not minimal`);
    }
    return length;
  }
}

/** A tag for messages: `0x30`. */
export function tagText(tag: number): string {
  return `0x${toHex(Uint8Array.of(tag))}`;
}

/** A big-endian number without its leading zeros (a view). */
export function withoutLeadingZeros(value: Uint8Array): Uint8Array {
  let start = 0;
  while (value[start] === 0) start++;
  return value.subarray(start);
}

function encodeLength(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.of(0x80 | bytes.length, ...bytes);
}
