/**
 * The client's side of the Assuan protocol (libassuan manual, "Server responses"): one command at a
 * time, and its reply. Strict and bounded, because whatever answers is another program, and its
 * replies hold PINs: nothing is quoted in an error, and every byte read is overwritten.
 */
import type { Readable, Writable } from "node:stream";

/** The longest line, in bytes without its line feed (libassuan's own limit). */
const MAX_LINE = 1000;

/** The most data of one reply, in bytes: a PIN is far shorter. */
const MAX_DATA = 2048;

/** Status lines and comments before a reply ends. */
const MAX_REMARKS = 64;

/** The server refused a command: a code of libgpg-error, whose low 16 bits name the error. */
export class AssuanRefusal extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`error ${code}`);
    this.code = code & 0xffff;
  }
}

/** The server broke the protocol, went away or did not answer in time. */
export class AssuanFault extends Error {}

export class Assuan {
  readonly #output: Writable;
  readonly #line = Buffer.alloc(MAX_LINE + 1);
  readonly #data = Buffer.alloc(MAX_DATA);
  #lineLength = 0;
  #dataLength = 0;
  #remarks = 0;
  #fault: AssuanFault | undefined;
  #waiting: { resolve: (data: Buffer) => void; reject: (error: Error) => void } | undefined;

  /** @param input - what the server says; @param output - where its commands go */
  constructor(input: Readable, output: Writable) {
    this.#output = output;
    input.on("data", (chunk: Buffer) => {
      this.#read(chunk);
      chunk.fill(0);
    });
    for (const event of ["end", "close", "error"]) {
      input.on(event, () => {
        this.fail("went away");
      });
    }
    // A server that is gone: its input says so too.
    output.on("error", () => undefined);
  }

  /**
   * The reply to the command before; for the first call, the greeting.
   *
   * @param limitMs - how long the server may take
   * @returns the reply's data, for the caller to wipe
   * @throws AssuanRefusal; AssuanFault
   */
  async reply(limitMs: number): Promise<Buffer> {
    if (this.#fault !== undefined) throw this.#fault;
    const clock = setTimeout(() => {
      this.fail("did not answer in time");
    }, limitMs);
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting = { resolve, reject };
      });
    } finally {
      clearTimeout(clock);
      this.#data.fill(0);
    }
  }

  /**
   * Sends a command and waits for its reply.
   *
   * @param argument - any text; it is escaped, and cut where a line would be too long
   * @throws as `reply`
   */
  command(name: string, argument: string | undefined, limitMs: number): Promise<Buffer> {
    const room = MAX_LINE - name.length - 1;
    this.#dataLength = 0;
    this.#remarks = 0;
    const rest = argument === undefined ? "" : ` ${escaped(argument, room)}`;
    const replied = this.reply(limitMs);
    if (this.#fault === undefined) this.#output.write(`${name}${rest}\n`);
    return replied;
  }

  /** The server may be told to leave: it waits for a command. */
  get isIdle(): boolean {
    return this.#fault === undefined && this.#waiting === undefined;
  }

  /** Ends the conversation: what is waited for, and everything after it, fails. */
  fail(how: string): void {
    this.#fault ??= new AssuanFault(how);
    this.#line.fill(0);
    this.#waiting?.reject(this.#fault);
    this.#waiting = undefined;
  }

  #read(chunk: Buffer): void {
    let start = 0;
    while (start < chunk.length && this.#fault === undefined) {
      const end = chunk.indexOf(0x0a, start);
      const part = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#lineLength + part.length > MAX_LINE) {
        this.fail("sent a line that is too long");
        return;
      }
      part.copy(this.#line, this.#lineLength);
      this.#lineLength += part.length;
      if (end < 0) return;
      this.#hear(this.#line.subarray(0, this.#lineLength));
      this.#line.fill(0);
      this.#lineLength = 0;
      start = end + 1;
    }
  }

  #hear(line: Buffer): void {
    const waiting = this.#waiting;
    if (waiting === undefined) {
      this.fail("spoke out of turn");
      return;
    }
    const word = line.subarray(0, wordLength(line)).toString("latin1");
    switch (word) {
      case "OK":
        this.#waiting = undefined;
        waiting.resolve(Buffer.from(this.#data.subarray(0, this.#dataLength)));
        return;
      case "ERR": {
        const code = /^ERR (\d{1,10})(?: |$)/.exec(line.toString("latin1"))?.[1];
        if (code === undefined) break;
        this.#waiting = undefined;
        waiting.reject(new AssuanRefusal(Number(code)));
        return;
      }
      case "D":
        if (this.#take(line.subarray(2))) return;
        break;
      case "S":
        this.#remarks += 1;
        if (this.#remarks <= MAX_REMARKS) return;
        break;
      default:
        this.#remarks += 1;
        if (word.startsWith("#") && this.#remarks <= MAX_REMARKS) return;
    }
    this.fail("does not follow the protocol");
  }

  /** Adds a line's data, whose percent escapes are undone. False if it is malformed or too long. */
  #take(text: Buffer): boolean {
    for (let at = 0; at < text.length; at += 1) {
      let byte = text[at] as number;
      if (byte === 0x25) {
        const [high, low] = [nibble(text[at + 1]), nibble(text[at + 2])];
        if (high === undefined || low === undefined) return false;
        byte = high * 16 + low;
        at += 2;
      }
      if (this.#dataLength === MAX_DATA) return false;
      this.#data[this.#dataLength] = byte;
      this.#dataLength += 1;
    }
    return true;
  }
}

function wordLength(line: Buffer): number {
  const blank = line.indexOf(0x20);
  return blank < 0 ? line.length : blank;
}

function nibble(byte: number | undefined): number | undefined {
  if (byte === undefined) return undefined;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : undefined;
}

/** Percent escapes for what would end the line or be taken for an escape, in `room` bytes. */
function escaped(text: string, room: number): string {
  let result = "";
  let bytes = 0;
  for (const character of text) {
    const written = /[%\r\n\0]/.test(character)
      ? `%${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(2, "0")}`
      : character;
    bytes += Buffer.byteLength(written);
    if (bytes > room) break;
    result += written;
  }
  return result;
}
