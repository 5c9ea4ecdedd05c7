/**
 * The stanzas that age and a plugin exchange (c2sp.org/age-plugin, "IPC protocol"): read strictly
 * from a stream of bytes, and written. The client passes on what the sender of a file wrote, so
 * every length is bounded.
 */
import { ascii, fromBareBase64 } from "../bytes.js";
import { COLUMNS, isArgument, type RawStanza, stanzaText } from "../envelope/age/age-header.js";
import { FormatError } from "../errors.js";

/** A command, a response, or a stanza of a file's header: all are written as the last. */
export type { RawStanza as Stanza } from "../envelope/age/age-header.js";

/** The longest line with words, bytes: an identity string has up to 13,200. */
const MAX_LINE = 2 ** 16;
/** The longest body, bytes: the limit of a whole file header here. */
const MAX_BODY = 2 ** 16;
/** All that one run may be told, bytes: the headers of some thousand files. */
const MAX_INPUT = 2 ** 24;

const LINE_FEED = 0x0a;

export function encodeStanza(stanza: RawStanza): Uint8Array {
  return ascii(stanzaText(stanza));
}

/** Reads stanzas, one at a time. */
export class StanzaReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);
  #total = 0;

  constructor(input: AsyncIterable<Uint8Array>) {
    this.#chunks = input[Symbol.asyncIterator]();
  }

  /**
   * The next stanza; undefined at the end of the input.
   *
   * @throws FormatError `ERR_PLUGIN_PROTOCOL`
   */
  async next(): Promise<RawStanza | undefined> {
    const first = await this.#line(MAX_LINE);
    if (first === undefined) return undefined;
    if (!first.startsWith("-> ")) throw malformed("a line that should begin a stanza does not");
    const [type = "", ...args] = first.slice(3).split(" ");
    if (![type, ...args].every(isArgument)) {
      throw malformed("the line of a stanza is not words with single blanks between them");
    }
    return { type, args, body: await this.#body() };
  }

  async #body(): Promise<Uint8Array> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.#line(COLUMNS);
      if (line === undefined) throw malformed("a stanza is cut off");
      lines.push(line);
      if (lines.length * COLUMNS > (MAX_BODY / 3) * 4) throw malformed("a body is too long");
      if (line.length < COLUMNS) break;
    }
    try {
      return fromBareBase64(lines.join(""));
    } catch {
      throw malformed("a body is not canonical base64");
    }
  }

  /** A line without its line feed. Undefined at the end of the input, if no line has begun. */
  async #line(longest: number): Promise<string | undefined> {
    let from = 0;
    for (;;) {
      const end = this.#rest.indexOf(LINE_FEED, from);
      if (end > longest || (end < 0 && this.#rest.length > longest)) {
        throw malformed("a line is too long");
      }
      if (end >= 0) {
        const line = this.#rest.toString("latin1", 0, end);
        this.#rest = this.#rest.subarray(end + 1);
        return line;
      }
      from = this.#rest.length;
      const { done, value } = (await this.#chunks.next()) as IteratorResult<Uint8Array, undefined>;
      if (done === true) {
        if (from > 0) throw malformed("a line is cut off");
        return undefined;
      }
      this.#total += value.length;
      if (this.#total > MAX_INPUT) throw malformed("there are more stanzas than can be handled");
      this.#rest = from === 0 ? Buffer.from(value) : Buffer.concat([this.#rest, value]);
    }
  }
}

export function malformed(what: string): FormatError {
  return new FormatError("ERR_PLUGIN_PROTOCOL", `the age client's input: ${what}`);
}
