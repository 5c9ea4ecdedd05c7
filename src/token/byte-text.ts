/**
 * Text that is kept byte for byte, whatever it is. Names on tokens and paths in configuration files
 * should be UTF-8, and some are not. Node would put U+FFFD for what is not: another name, and one
 * for many. Here such a byte becomes half of a surrogate pair, which no UTF-8 yields: 0xE9 becomes
 * U+DCE9, as in Python (PEP 383, "surrogateescape"). `printable` shows it as an escape.
 */
import { isUtf8 } from "node:buffer";

/** The text of `bytes`. Different bytes give different texts. */
export function textOfBytes(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return decoded(bytes);
  const parts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = [1, 2, 3, 4].find((n) => isUtf8(bytes.subarray(at, at + n)));
    const end = length === undefined ? undefined : at + length;
    parts.push(
      end === undefined
        ? String.fromCharCode(FIRST + (bytes[at] ?? 0))
        : decoded(bytes.subarray(at, end)),
    );
    at = end ?? at + 1;
  }
  return parts.join("");
}

/** The bytes that `textOfBytes` made a text of; UTF-8 for any other text. */
export function bytesOfText(text: string): Buffer<ArrayBuffer> {
  if (!ESCAPED.test(text)) return Buffer.from(text, "utf8");
  return Buffer.concat(
    Array.from(text, (character) =>
      ESCAPED.test(character)
        ? Buffer.of(character.charCodeAt(0) - FIRST)
        : Buffer.from(character, "utf8"),
    ),
  );
}

/** False for text with bytes that are not UTF-8: nothing that takes a string gets them. */
export function isExactText(text: string): boolean {
  return !ESCAPED.test(text);
}

const FIRST = 0xdc00;

/** One that stands alone; in a pair, the `u` flag makes it part of another character. */
const ESCAPED = /[\udc80-\udcff]/u;

/** With a byte order mark, if there is one: it is part of a name. */
function decoded(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
