/**
 * The header of a mail or of one part of it: fields, which may be folded over several lines, up to
 * the first empty line (RFC 5322 §2.2). Bytes above 127 stand for themselves, as Latin-1: no field
 * that counts here has any.
 *
 * Lines may end with CRLF, as on the wire, or with LF alone, as in files.
 */
import { FormatError } from "../errors.js";

/** Real mails, with the traces of many relays, stay well below both. */
export const MAX_HEADER_BYTES = 256 * 1024;
const MAX_FIELDS = 2048;

/** As many bytes of an input as `startsAsHeader` looks at. */
export const HEADER_START_BYTES = 64;

/** The fields of one header. */
export class HeaderFields {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  /** Length of the header, bytes, with the empty line that ends it. */
  readonly bytes: number;

  constructor(values: ReadonlyMap<string, readonly string[]>, bytes: number) {
    this.#values = values;
    this.bytes = bytes;
  }

  /**
   * The value of the field of this name, unfolded and without blanks around it.
   *
   * @throws FormatError `ERR_MAIL`: the field occurs twice, and programs differ in which one counts
   */
  get(name: string): string | undefined {
    const [value, second] = this.#values.get(name.toLowerCase()) ?? [];
    if (second === undefined) return value;
    throw new FormatError("ERR_MAIL", `the mail's header has two fields "${name}"`);
  }
}

/** Whether a mail may begin so: with the name of a field and a colon. */
export function startsAsHeader(start: Uint8Array): boolean {
  return /^[!-9;-~]{1,63}:/.test(latin1(start.subarray(0, HEADER_START_BYTES)));
}

/**
 * The header at the start of `bytes`.
 *
 * @param isWhole - nothing follows `bytes`, so that the header may end with them
 * @returns undefined if more bytes are needed
 * @throws FormatError `ERR_MAIL`
 */
export function parseHeader(bytes: Uint8Array, isWhole: boolean): HeaderFields | undefined {
  const end = headerEnd(bytes);
  if (bytes.length > MAX_HEADER_BYTES && (end === undefined || end > MAX_HEADER_BYTES)) {
    throw new FormatError("ERR_MAIL", `the mail's header is longer than ${MAX_HEADER_BYTES} bytes`);
  }
  if (end === undefined && !isWhole) return undefined;
  const length = end ?? bytes.length;
  return new HeaderFields(fieldsIn(latin1(bytes.subarray(0, length))), length);
}

/** Where the header ends: after its first empty line. */
function headerEnd(bytes: Uint8Array): number | undefined {
  for (let line = 0; ;) {
    if (bytes[line] === LF) return line + 1;
    if (bytes[line] === CR && bytes[line + 1] === LF) return line + 2;
    const lineBreak = bytes.indexOf(LF, line);
    if (lineBreak < 0) return undefined;
    line = lineBreak + 1;
  }
}

function fieldsIn(text: string): Map<string, string[]> {
  const values = new Map<string, string[]>();
  const unfolded = text
    .replace(/\r?\n[ \t]+/g, " ")
    .split(/\r?\n/)
    .filter((line) => line !== "");
  if (unfolded.length > MAX_FIELDS) {
    throw new FormatError("ERR_MAIL", `the mail's header has more than ${MAX_FIELDS} fields`);
  }
  for (const [index, line] of unfolded.entries()) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon)).trimEnd();
    // A carriage return or NUL is where other programs see another line, or the end.
    if (!/^[!-9;-~]+$/.test(name) || /[\r\0]/.test(line)) {
      throw new FormatError("ERR_MAIL", `field ${index + 1} of the mail's header is malformed`, {
        hint: "save the mail again, as its source (.eml)",
      });
    }
    const key = name.toLowerCase();
    values.set(key, [...(values.get(key) ?? []), line.slice(colon + 1).trim()]);
  }
  return values;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

const CR = 0x0d;
const LF = 0x0a;
