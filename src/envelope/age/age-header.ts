/**
 * The header of an age file (C2SP, "age", §"Header"): lines of text up to the MAC.
 *
 * ```text
 * age-encryption.org/v1
 * -> TYPE ARGUMENT …          a stanza for each recipient: its arguments,
 * BODY                        and its body in base64, 64 columns a line; the last is shorter
 * --- MAC
 * ```
 * There is one way to write a header, so what parses encodes to the same bytes. Stanzas of types
 * that nobody knows stay as they are: some writers add them to keep readers flexible.
 */
import { ascii, concat, fromBareBase64, toBareBase64 } from "../../bytes.js";
import {
  AuthenticationError,
  PolicyError,
  UnsupportedError,
  type P11SealError,
} from "../../errors.js";
import type { Reader } from "../../stream.js";

/** The format's name. */
export const AGE = "age";
/** What every version's header begins with. */
export const AGE_MAGIC = "age-encryption.org/";
/** Longest header, bytes. */
export const MAX_HEADER_BYTES = 65_536;
/** Most stanzas in a header. */
export const MAX_STANZAS = 1024;
export const MAC_BYTES = 32;

/** A stanza as it stands in the header. */
export interface RawStanza {
  /** The first argument. */
  readonly type: string;
  /** Those that follow it: printable ASCII, without blanks. */
  readonly args: readonly string[];
  readonly body: Uint8Array;
}

export interface RawHeader {
  readonly stanzas: readonly RawStanza[];
  /** What the MAC is over: everything up to and including `---`. */
  readonly transcript: Uint8Array;
  /** 32 bytes. */
  readonly mac: Uint8Array;
  /** Length of the header, bytes. */
  readonly bytes: number;
}

/**
 * The header that `reader` has next; not a byte of what follows is consumed.
 *
 * @throws UnsupportedError `ERR_VERSION`; AuthenticationError `ERR_HEADER`, `ERR_TRUNCATED`
 */
export async function readAgeHeader(reader: Reader): Promise<RawHeader> {
  const lines = new Lines(reader);
  requireVersion(await lines.next());
  const stanzas: RawStanza[] = [];
  let line = await lines.next();
  while (line.startsWith(ARROW)) {
    if (stanzas.length === MAX_STANZAS) throw malformed(`more than ${MAX_STANZAS} recipients`);
    stanzas.push(await readStanza(line, lines));
    line = await lines.next();
  }
  if (stanzas.length === 0) throw malformed("no recipient");
  if (!line.startsWith(`${END} `)) throw malformed("neither a recipient nor the MAC");
  const mac = decode(line.slice(END.length + 1), "the MAC");
  if (mac.length !== MAC_BYTES) throw malformed("the MAC's length");
  return { stanzas, mac, transcript: transcriptOf(stanzas), bytes: lines.bytes };
}

/** What the MAC of a header with these stanzas is over. */
export function transcriptOf(stanzas: readonly RawStanza[]): Uint8Array {
  return ascii(`${VERSION_LINE}\n${stanzas.map(stanzaText).join("")}${END}`);
}

/**
 * The whole header.
 *
 * @throws PolicyError `ERR_TOO_MANY_RECIPIENTS`: it is longer than `readAgeHeader` takes
 */
export function encodeAgeHeader(transcript: Uint8Array, mac: Uint8Array): Uint8Array {
  const header = concat(transcript, ascii(` ${toBareBase64(mac)}\n`));
  if (header.length > MAX_HEADER_BYTES) throw tooLong();
  return header;
}

/** Refuses more recipients than a reader takes. */
export function tooLong(): PolicyError {
  return new PolicyError(
    "ERR_TOO_MANY_RECIPIENTS",
    `the age file's header would be longer than ${MAX_HEADER_BYTES} bytes, or have more than ` +
      `${MAX_STANZAS} recipients`,
    { hint: "make several files, or seal in p11seal's own format" },
  );
}

/**
 * The error for a malformed header. It counts as not authentic: no writer of age files makes one,
 * so somebody, or a bad disk, altered it.
 */
export function malformed(detail: string): P11SealError {
  return new AuthenticationError("ERR_HEADER", `the age file's header is malformed: ${detail}`, {
    hint: "the file was altered or damaged on its way; ask for it again",
  });
}

// ── Lines and stanzas ──

const VERSION_LINE = `${AGE_MAGIC}v1`;
const ARROW = "-> ";
const END = "---";
/** Characters of base64 in a full line. */
export const COLUMNS = 64;

function requireVersion(line: string): void {
  if (line === VERSION_LINE) return;
  const version = line.slice(AGE_MAGIC.length);
  if (!line.startsWith(AGE_MAGIC) || !isArgument(version)) throw malformed("the first line");
  throw new UnsupportedError("ERR_VERSION", `age version ${version.slice(0, 32)} is not known`, {
    hint: "this p11seal reads version v1; try a newer p11seal",
  });
}

/** @param line - the stanza's first, with its arguments */
async function readStanza(line: string, lines: Lines): Promise<RawStanza> {
  const [type = "", ...args] = line.slice(ARROW.length).split(" ");
  if (![type, ...args].every(isArgument)) throw malformed("a recipient's arguments");
  const parts: string[] = [];
  do parts.push(await lines.next());
  while (parts.at(-1)?.length === COLUMNS);
  if (parts.some(({ length }) => length > COLUMNS)) throw malformed("a recipient's lines");
  return { type, args, body: decode(parts.join(""), "a recipient's body") };
}

/** A stanza as it stands in a header, and in what a plugin is told. */
export function stanzaText({ type, args, body }: RawStanza): string {
  const lines: string[] = [];
  const text = toBareBase64(body);
  // A body that fills its lines ends with an empty one.
  for (let at = 0; at <= text.length; at += COLUMNS) lines.push(text.slice(at, at + COLUMNS));
  return `${ARROW}${[type, ...args].join(" ")}\n${lines.join("\n")}\n`;
}

/** 1*VCHAR (RFC 5234 §B.1). */
export function isArgument(text: string): boolean {
  return /^[!-~]+$/.test(text);
}

function decode(text: string, what: string): Uint8Array {
  try {
    return fromBareBase64(text);
  } catch {
    throw malformed(`${what} is not canonical base64`);
  }
}

/** The lines that a reader has next. Nothing after a line is consumed along with it. */
class Lines {
  readonly #reader: Reader;
  #bytes = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** Length of all lines so far, with their line feeds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The next line, without its line feed; a character for each byte. */
  async next(): Promise<string> {
    const most = MAX_HEADER_BYTES - this.#bytes;
    let seen = this.#reader.atHand(most);
    while (!seen.includes(LINE_FEED)) {
      if (seen.length === most) throw malformed(`more than ${MAX_HEADER_BYTES} bytes`);
      // Waits for one byte more, and gets as many as come with it.
      const had = seen.length;
      await this.#reader.peek(had + 1);
      seen = this.#reader.atHand(most);
      if (seen.length === had) throw cut(this.#bytes + had);
    }
    const line = await this.#reader.upTo(seen.indexOf(LINE_FEED) + 1);
    this.#bytes += line.length;
    return Buffer.from(line.buffer, line.byteOffset, line.length - 1).toString("latin1");
  }
}

const LINE_FEED = 0x0a;

function cut(bytes: number): AuthenticationError {
  return new AuthenticationError(
    "ERR_TRUNCATED",
    `the age file's header is cut off after ${bytes} bytes`,
    { hint: "the rest is missing; get it again, whole" },
  );
}
