/**
 * `multipart/signed` (RFC 1847 §2.1): what was signed, and a signature over it, between lines that
 * hold a boundary.
 *
 * What was signed is taken exactly as it stands: from after the boundary's line break to before the
 * line break in front of the next boundary, which belongs to that one (RFC 2046 §5.1.1). Where
 * programs differ in what they would take for the content, the mail is refused.
 */
import { concatAll } from "../bytes.js";
import { AuthenticationError, FormatError } from "../errors.js";
import { HeaderFields, parseHeader } from "./header-fields.js";

/** What may stand before the first boundary and behind the last one. */
const MAX_AROUND_BYTES = 64 * 1024;
/** A signature and the certificates, revocation lists and responses that come with it. */
const MAX_SIGNATURE_BYTES = 8 * 1024 * 1024;
/** Blanks and the line break behind a boundary. */
const MAX_LINE_REST = 256;

/** The second part: its header, and its content as it is encoded. */
export interface SignaturePart {
  readonly fields: HeaderFields;
  readonly content: Uint8Array;
}

/** Takes the body of one `multipart/signed` apart, once. */
export class SignedParts {
  readonly #delimiter: Buffer;
  #signature: SignaturePart | undefined;

  /** @throws FormatError `ERR_MAIL`: not a boundary (RFC 2046 §5.1.1) */
  constructor(boundary: string) {
    if (!/^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/.test(boundary)) {
      throw new FormatError("ERR_MAIL", "the mail's boundary is missing or malformed");
    }
    this.#delimiter = Buffer.from(`--${boundary}`, "latin1");
  }

  /**
   * The first part, header included, as it stands. The stream ends once the second part has been
   * read as well, and nothing follows it.
   *
   * @throws FormatError `ERR_MAIL`; AuthenticationError `ERR_TRUNCATED`
   */
  async *content(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    let section = 0;
    let around = 0;
    const signature: Uint8Array[] = [];
    let signatureBytes = 0;
    for await (const { bytes, boundary } of this.#sections(body)) {
      if (section === 1 && bytes.length > 0) yield bytes;
      if (section === 2) {
        // A copy: the next chunk may come in the same buffer.
        signature.push(bytes.slice());
        signatureBytes += bytes.length;
        if (signatureBytes > MAX_SIGNATURE_BYTES) throw malformed("its signature is too long");
      }
      if (section === 0) {
        around += bytes.length;
        if (around > MAX_AROUND_BYTES) throw malformed("its first boundary does not come");
      }
      if (section === 3 && !/^[ \t\r\n]*$/.test(latin1(bytes))) {
        throw malformed("something follows its last boundary");
      }
      if (boundary === undefined) continue;
      if (boundary === "last" ? section !== 2 : section > 1) {
        throw malformed("it does not have two parts");
      }
      section++;
    }
    if (section < 3) {
      throw new AuthenticationError("ERR_TRUNCATED", "the mail ends before its last boundary", {
        hint: "the rest is missing; get it again, whole",
      });
    }
    const part = concatAll(signature);
    const fields = parseHeader(part, true) as HeaderFields;
    this.#signature = { fields, content: part.subarray(fields.bytes) };
  }

  /** The second part; to be called once `content` has ended. */
  get signature(): SignaturePart {
    if (this.#signature === undefined) throw new TypeError("the mail was not read to its end");
    return this.#signature;
  }

  /** All bytes but the lines of boundaries and the line breaks before them. */
  async *#sections(body: AsyncIterable<Uint8Array>): AsyncGenerator<Section, void, undefined> {
    const delimiter = this.#delimiter;
    let rest = Buffer.alloc(0);
    // Whether `rest` begins a line; kept, as what came before has gone.
    let isLineStart = true;
    for await (const { chunk, isLast } of withEnd(body)) {
      const bytes = rest.length === 0 ? asBuffer(chunk) : Buffer.concat([rest, chunk]);
      let at = 0;
      let from = 0;
      let found: number;
      for (;;) {
        found = bytes.indexOf(delimiter, from);
        if (found < 0) break;
        if (found === 0 ? !isLineStart : bytes[found - 1] !== LF) {
          from = found + 1;
          continue;
        }
        const after = found + delimiter.length;
        const lineBreak = bytes.indexOf(LF, after);
        if (lineBreak < 0 && !isLast) {
          if (bytes.length - after < MAX_LINE_REST) break;
          throw boundaryGoesOn();
        }
        const next = lineBreak < 0 ? bytes.length : lineBreak + 1;
        const boundary = boundaryBefore(latin1(bytes.subarray(after, next)));
        yield { bytes: bytes.subarray(at, Math.max(at, lineEndBefore(bytes, found))), boundary };
        at = next;
        from = next;
        isLineStart = true;
      }
      // What may turn out to be a line break and a boundary has to wait.
      const kept = isLast
        ? bytes.length
        : Math.max(at, (found < 0 ? bytes.length - delimiter.length : found) - 2);
      if (kept > at) {
        yield { bytes: bytes.subarray(at, kept) };
        isLineStart = bytes[kept - 1] === LF;
      }
      rest = Buffer.from(bytes.subarray(kept));
    }
  }
}

interface Section {
  readonly bytes: Uint8Array;
  /** Set where these are the last bytes before a boundary. */
  readonly boundary?: "next" | "last";
}

/** What a boundary's line says behind the boundary. */
function boundaryBefore(lineRest: string): "next" | "last" {
  const found = /^(--)?[ \t]*(?:\r?\n)?$/.exec(lineRest);
  if (found === null) throw boundaryGoesOn();
  return found[1] === undefined ? "next" : "last";
}

/** Where the line break begins that `at` follows. */
function lineEndBefore(bytes: Uint8Array, at: number): number {
  if (at > 0 && bytes[at - 1] === LF) return at > 1 && bytes[at - 2] === CR ? at - 2 : at - 1;
  return at;
}

async function* withEnd(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ chunk: Uint8Array; isLast: boolean }, void, undefined> {
  for await (const chunk of chunks) yield { chunk, isLast: false };
  yield { chunk: new Uint8Array(0), isLast: true };
}

/** RFC 2046 takes such a line for a boundary, and many programs do not. */
function boundaryGoesOn(): FormatError {
  return malformed("a line begins with its boundary and goes on");
}

function malformed(why: string): FormatError {
  return new FormatError("ERR_MAIL", `the mail of two parts is malformed: ${why}`, {
    hint: "the mail must come as it was sent; save it again, as its source (.eml)",
  });
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function latin1(bytes: Uint8Array): string {
  return asBuffer(bytes).toString("latin1");
}

const CR = 0x0d;
const LF = 0x0a;
