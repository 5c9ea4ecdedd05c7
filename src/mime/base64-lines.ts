/**
 * Base64 as it stands in mails (RFC 2045 §6.8), as a stream: in lines, of whatever length.
 *
 * Reading takes line breaks and blanks anywhere, and nothing else that RFC 4648 does not have: no
 * other characters, no text behind the padding, no bits behind the last byte.
 */
import { concat } from "../bytes.js";
import { AuthenticationError, FormatError } from "../errors.js";

/** Characters in a line as written, and the bytes that they stand for. */
const LINE_CHARACTERS = 64;
const LINE_BYTES = 48;

/** `bytes` in lines of 64 characters; only the last may be shorter. */
export async function* base64Lines(
  bytes: AsyncIterable<Uint8Array>,
  lineBreak: "\n" | "\r\n",
): AsyncGenerator<Uint8Array, void, undefined> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of bytes) {
    const all = rest.length === 0 ? chunk : concat(rest, chunk);
    const full = all.length - (all.length % LINE_BYTES);
    if (full > 0) yield lines(all.subarray(0, full), lineBreak);
    // A copy: whoever made the chunk may use its memory again.
    rest = all.slice(full);
  }
  if (rest.length > 0) yield lines(rest, lineBreak);
}

function lines(bytes: Uint8Array, lineBreak: string): Uint8Array {
  const base64 = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
  const count = Math.ceil(base64.length / LINE_CHARACTERS);
  const text = Buffer.allocUnsafe(base64.length + count * lineBreak.length);
  for (let at = 0, to = 0; at < base64.length; at += LINE_CHARACTERS) {
    to += text.write(base64.slice(at, at + LINE_CHARACTERS), to, "latin1");
    to += text.write(lineBreak, to, "latin1");
  }
  return text;
}

/**
 * What the base64 in `text` stands for.
 *
 * @throws FormatError `ERR_MAIL`; AuthenticationError `ERR_TRUNCATED`
 */
export async function* base64Decoded(
  text: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const decoding = new Base64Decoding();
  for await (const chunk of text) {
    const bytes = decoding.add(chunk);
    if (bytes.length > 0) yield bytes;
  }
  const last = decoding.end();
  if (last.length > 0) yield last;
}

class Base64Decoding {
  /** Characters of a group of four that is not complete. */
  #group: Uint8Array = new Uint8Array(0);
  #padding = 0;
  #characters = 0;

  add(chunk: Uint8Array): Uint8Array {
    const { length } = chunk;
    const packed = Buffer.allocUnsafe(this.#group.length + length);
    packed.set(this.#group);
    // Whole mails pass here: an iterator, or a count that starts above 0, makes this slow.
    const added = packed.subarray(this.#group.length);
    let count = 0;
    for (let at = 0; at < length; at++) {
      const byte = chunk[at] as number;
      const kind = KINDS[byte];
      if (kind === ALPHABET && this.#padding === 0) added[count++] = byte;
      else if (kind === PADDING) this.#padding++;
      else if (kind !== BLANK) throw this.#refusal();
    }
    const filled = this.#group.length + count;
    const whole = filled - (filled % 4);
    this.#characters += whole;
    this.#group = new Uint8Array(packed.subarray(whole, filled));
    return Buffer.from(packed.toString("latin1", 0, whole), "base64");
  }

  end(): Uint8Array {
    const missing = (4 - this.#group.length) % 4;
    if (this.#padding < missing) {
      throw new AuthenticationError(
        "ERR_TRUNCATED",
        `the mail's base64 is cut off after ${this.#characters + this.#group.length} characters`,
        { hint: "the rest is missing; get it again, whole" },
      );
    }
    const group = Buffer.from(this.#group).toString("latin1") + "=".repeat(this.#padding);
    const bytes = Buffer.from(group, "base64");
    // Decoding takes anything; only canonical base64 comes back as it was.
    if (bytes.toString("base64") !== group) throw this.#refusal();
    return bytes;
  }

  #refusal(): FormatError {
    const at = this.#characters + this.#group.length;
    return new FormatError("ERR_MAIL", `the mail's base64 is malformed after ${at} characters`, {
      hint: "the mail must come as it was sent; save it again, as its source (.eml)",
    });
  }
}

const ALPHABET = 0;
const BLANK = 1;
const PADDING = 2;
const OTHER = 3;
/** What each byte is. */
const KINDS = Uint8Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  if (/[A-Za-z0-9+/]/.test(character)) return ALPHABET;
  if (/[ \t\r\n]/.test(character)) return BLANK;
  return character === "=" ? PADDING : OTHER;
});
