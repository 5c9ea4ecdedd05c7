/**
 * Messages as text: base64 between two lines that name what it is, for mails, tickets and
 * configuration files (the strict form of RFC 7468 §3, figure 3, which is age's armour too).
 *
 * Reading is as strict as writing: lines of 64 characters, the last one shorter or as long, padded,
 * in canonical base64. Lines may end with CRLF. Blanks and empty lines may stand around the whole,
 * for mails' sake, but not within it.
 */
import { ascii, concat } from "../bytes.js";
import { AuthenticationError } from "../errors.js";
import { base64Lines } from "../mime/base64-lines.js";
import type { Reader } from "../stream.js";

/** Characters in a full line, and the bytes that they stand for. */
const LINE_CHARACTERS = 64;
const LINE_BYTES = 48;

/** How many blanks and line breaks may stand before the armour, and how many after it. */
const MAX_BLANKS = 1024;

/** `bytes` in armour, as text in ASCII. */
export async function* armored(
  bytes: AsyncIterable<Uint8Array>,
  label: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield ascii(`-----BEGIN ${label}-----\n`);
  yield* base64Lines(bytes, "\n");
  yield ascii(`-----END ${label}-----\n`);
}

/**
 * The label of the armour that `reader` has next, if it has one. Consumes nothing, and waits for
 * more than a byte only where that is a blank or a dash.
 */
export async function armorLabel(reader: Reader): Promise<string | undefined> {
  const [first] = await reader.peek(1);
  if (first !== DASH && !isBlank(first)) return undefined;
  const start = latin1(await reader.peek(MAX_BLANKS + MAX_BEGIN_LINE));
  const found = /^[ \t\r\n]*-----BEGIN ([!-~](?:[ -~]{0,62}[!-~])?)-----\r?\n/.exec(start);
  return found?.[1];
}

/** -----BEGIN, a label of 64 characters at most, -----, CR and LF. */
const MAX_BEGIN_LINE = 82;

/**
 * The bytes in armour. Ends only after the last line and the end of the input were checked.
 *
 * @param armor - begins as `armorLabel` found it
 * @throws AuthenticationError `ERR_ARMOR`, `ERR_TRUNCATED`
 */
export async function* dearmored(
  armor: AsyncIterable<Uint8Array>,
  label: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reading = new ArmorReading(label);
  for await (const chunk of armor) yield* reading.add(chunk);
  reading.end();
}

class ArmorReading {
  readonly #begin: string;
  readonly #end: string;
  #state: "before" | "within" | "ended" | "after" = "before";
  /** Lines read so far. */
  #line = 0;
  #blanks = 0;
  /** The start of a line whose end has not come yet. */
  #unfinished: Uint8Array = new Uint8Array(0);

  constructor(label: string) {
    this.#begin = `-----BEGIN ${label}-----`;
    this.#end = `-----END ${label}-----`;
  }

  *add(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
    const bytes = this.#unfinished.length === 0 ? chunk : concat(this.#unfinished, chunk);
    let at = 0;
    for (;;) {
      const full = this.#state === "within" ? fullLines(bytes, at) : 0;
      if (full > 0) {
        const next = at + full * (LINE_CHARACTERS + 1);
        yield this.#decoded(withoutLineBreaks(bytes.subarray(at, next), full), full);
        at = next;
      }
      const lineBreak = bytes.indexOf(LF, at);
      if (lineBreak < 0) break;
      const decoded = this.#read(latin1(bytes.subarray(at, lineBreak)).replace(/\r$/, ""));
      if (decoded !== undefined) yield decoded;
      at = lineBreak + 1;
    }
    // A copy: the next chunk may come in the same buffer.
    this.#unfinished = bytes.slice(at);
    if (this.#unfinished.length > MAX_BLANKS) throw this.#refusal("is too long");
  }

  end(): void {
    if (this.#unfinished.length > 0) this.#read(latin1(this.#unfinished));
    if (this.#state === "after") return;
    throw new AuthenticationError(
      "ERR_TRUNCATED",
      `the armour is cut off after line ${this.#line}: there is no ${this.#end}`,
      { hint: "the rest is missing; get it again, whole" },
    );
  }

  /** One line; what it stands for, if it is one of base64. */
  #read(line: string): Uint8Array | undefined {
    if (this.#state === "before" || this.#state === "after") {
      if (this.#state === "before" && line === this.#begin) this.#state = "within";
      else this.#requireBlank(line);
      this.#line++;
      return undefined;
    }
    if (line === this.#end) {
      this.#state = "after";
      this.#blanks = 0;
      this.#line++;
      return undefined;
    }
    if (this.#state === "ended") throw this.#refusal(`is not ${this.#end}`);
    if (line.length === 0 || line.length > LINE_CHARACTERS) throw this.#refusal(NO_BASE64);
    return this.#decoded(line, 1);
  }

  /** What `count` lines of base64 stand for; only the last of all may be short. */
  #decoded(base64: string, count: number): Uint8Array {
    const bytes = Buffer.from(base64, "base64");
    // Decoding takes anything; only canonical base64 comes back as it was.
    if (bytes.toString("base64") !== base64) {
      throw this.#refusal(NO_BASE64, count === 1 ? "" : ` or one of the ${count - 1} after it`);
    }
    if (bytes.length < count * LINE_BYTES) this.#state = "ended";
    this.#line += count;
    return bytes;
  }

  #requireBlank(line: string): void {
    this.#blanks += line.length + 1;
    if (!/^[ \t\r]*$/.test(line) || this.#blanks > MAX_BLANKS) {
      throw this.#refusal(
        this.#state === "before" ? `is not ${this.#begin}` : "follows the armour's end",
      );
    }
  }

  #refusal(what: string, orLater = ""): AuthenticationError {
    return new AuthenticationError(
      "ERR_ARMOR",
      `line ${this.#line + 1}${orLater} of the armour ${what}`,
      {
        hint: "text must come as it was written: all lines, from BEGIN to END, and nothing else",
      },
    );
  }
}

const NO_BASE64 = "is not canonical base64 in lines of 64 characters";

/** How many full lines that end with LF are at `at`, one after the other. */
function fullLines(bytes: Uint8Array, at: number): number {
  const stride = LINE_CHARACTERS + 1;
  let count = 0;
  for (let line = at; line + stride <= bytes.length; line += stride) {
    if (bytes[line + LINE_CHARACTERS] !== LF || bytes[line] === DASH) break;
    count++;
  }
  return count;
}

/** `count` full lines as one. */
function withoutLineBreaks(bytes: Uint8Array, count: number): string {
  const joined = Buffer.allocUnsafe(count * LINE_CHARACTERS);
  for (let line = 0; line < count; line++) {
    const from = line * (LINE_CHARACTERS + 1);
    joined.set(bytes.subarray(from, from + LINE_CHARACTERS), line * LINE_CHARACTERS);
  }
  return joined.toString("latin1");
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d || byte === LF;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

const LF = 0x0a;
const DASH = 0x2d;
