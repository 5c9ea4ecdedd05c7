/**
 * The error for input that is no message. What it seems to be is named, with the way to open it: a
 * message that lost its form on the way, or a file of another program (known-files.ts).
 */
import { ascii, concat, equal, fromHex, looksLikeUtf16 } from "../bytes.js";
import { FormatError } from "../errors.js";
import { knownFile, type KnownFile } from "./known-files.js";

/** How much of the input `notAMessage` makes use of, bytes. */
export const TELLING_BYTES = 4096;

/**
 * FormatError `ERR_NOT_A_MESSAGE`.
 *
 * @param start - the input's first bytes: as many of `TELLING_BYTES` as are at hand, 8 at least
 */
export function notAMessage(start: Uint8Array): FormatError {
  const seen = start.subarray(0, TELLING_BYTES);
  if (seen.length === 0) {
    return refusal("the input is empty", "whatever wrote it failed, or nothing was piped in");
  }
  const mangled = mangledMessage(seen);
  if (mangled !== undefined) {
    return refusal(`not a p11seal message any more: ${mangled.what}`, mangled.hint);
  }
  const known = knownFile(seen, latin1(seen)) ?? inUtf16(seen);
  if (known === undefined) return refusal("not a p11seal message", OURS);
  return refusal(`not a p11seal message: it looks like ${known.what}`, known.hint);
}

function refusal(fact: string, hint: string): FormatError {
  return new FormatError("ERR_NOT_A_MESSAGE", fact, { hint });
}

const OURS =
  "p11seal opens what `p11seal seal` wrote; a body without its header needs --key-blob, the header";

// ── A message that lost its form ──

/** docs/format.md §4: bytes that show what text transfers change, as PNG's do. */
const MAGIC = fromHex("8b5031310d0a1a0a");

const MAGIC_TEXT = latin1(MAGIC);

/** A message whose bytes a conversion changed, in a way that its first ones still show. */
function mangledMessage(start: Uint8Array): KnownFile | undefined {
  if (startsWith(start, MAGIC.subarray(0, 4))) return CHANGED_LINES;
  const text = latin1(start);
  // In UTF-16, every other byte is 0.
  if (text.replaceAll("\0", "").includes("BEGIN P11SEAL MESSAGE")) return ARMOR;
  const before = text.slice(0, Math.max(0, text.indexOf(MAGIC_TEXT)));
  if (/^(?:\s{1,16}|\xef\xbb\xbf)$/u.test(before)) return SHIFTED;
  // The first byte, 8b, is what each conversion makes of a byte that is not ASCII.
  if (/^(?:\xef\xbb\xbf)?[^\n]{1,3}P11\r{0,2}\n\r?\p{Cc}\r?\n/u.test(text)) return RECODED;
  if (/^[^\n]{1,5}P\p{Cc}1\p{Cc}1\p{Cc}/u.test(text)) return UTF16;
  return encodedMessage(text) ?? (looksLikeUtf16(start) ? encodedUtf16(start) : undefined);
}

/** A message in an encoding from which it comes back whole. */
function encodedMessage(text: string): KnownFile | undefined {
  // Base64 of the magic number's whole groups of three, in a file of its own, in PEM or in mail.
  if (/(?:^|[\r\n])[ \t]*i1AxMQ0K/.test(text)) return BASE64;
  if (/^\s*(?:0x)?8b5031310d0a1a0a/i.test(text)) return HEX;
  return text.includes("=8BP11") ? QUOTED : undefined;
}

function encodedUtf16(start: Uint8Array): KnownFile | undefined {
  const encoded = encodedMessage(textOfUtf16(start));
  return encoded && { ...encoded, what: `${encoded.what}, saved as UTF-16` };
}

const ASK_AGAIN =
  "it can't be repaired; send the file itself, as binary (scp, FTP's binary mode, an attachment)";

const IN_POWERSHELL = `in PowerShell, use -o FILE instead of '>' and '|'; ${ASK_AGAIN}`;

const CHANGED_LINES: KnownFile = {
  what: "its line ends were converted by a text transfer",
  hint: ASK_AGAIN,
};

const RECODED: KnownFile = {
  what: "its bytes were converted as if they were text",
  hint: IN_POWERSHELL,
};

const UTF16: KnownFile = {
  what: "its bytes were converted to UTF-16 text, as PowerShell's '>' does",
  hint: IN_POWERSHELL,
};

const SHIFTED: KnownFile = {
  what: "something stands before its first byte",
  hint: "a line break or a byte order mark was put before it; ask for the file as it was",
};

const ARMOR: KnownFile = {
  what: "its text was changed, or does not stand alone",
  hint: "save the lines from BEGIN to END as they were, and nothing else, as UTF-8",
};

const BASE64: KnownFile = {
  what: "it is in base64",
  hint: "decode it first: base64 -d FILE > m.p11s (in PEM or a mail, only the lines of base64)",
};

const HEX: KnownFile = {
  what: "it is in hexadecimal",
  hint: "decode it first: xxd -r -p FILE > m.p11s",
};

const QUOTED: KnownFile = {
  what: "it is in a mail's quoted-printable",
  hint: "save the attachment from the mail program, not the mail's source",
};

// ── Text in UTF-16 ──

function inUtf16(start: Uint8Array): KnownFile | undefined {
  if (!looksLikeUtf16(start)) return undefined;
  const text = textOfUtf16(start);
  const known = knownFile(ascii(text.replaceAll(/[^\0-\x7f]/g, "?")), text);
  return known === undefined
    ? { what: "text in UTF-16", hint: OURS }
    : {
        what: `${known.what}, saved as UTF-16`,
        hint: `save it as UTF-8 first; then ${known.hint}`,
      };
}

/** Without the byte order mark. */
function textOfUtf16(bytes: Uint8Array): string {
  const isBig = bytes[0] === 0xfe || bytes[0] === 0;
  const label = isBig ? "utf-16be" : "utf-16le";
  return new TextDecoder(label).decode(bytes.subarray(0, bytes.length & ~1));
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return equal(bytes.subarray(0, prefix.length), prefix);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(concat(bytes)).toString("latin1");
}
