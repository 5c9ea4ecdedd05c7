/**
 * A distinguished name from the text that people write, `CN=Bob,O=Example,C=DE` (RFC 4514 §3), as
 * the DER of a Name (RFC 5280 §4.1.2.4). The text starts with the most specific part, the DER ends
 * with it.
 */
import { concatAll, fromHex } from "../bytes.js";
import { FormatError } from "../errors.js";
import { der, DerReader, TAG } from "../asn1/der.js";
import { derOid } from "../asn1/oid.js";
import { ATTRIBUTE_TYPES, type AttributeSyntax, type AttributeType } from "./attribute-types.js";

/**
 * @throws FormatError `ERR_NAME_TEXT`: not a name, an attribute without a short name here, or a
 *   value that the attribute can't hold
 */
export function nameFromText(text: string): Uint8Array<ArrayBuffer> {
  if (text.trim().startsWith("/")) {
    throw malformed("starts with a slash", "write CN=Bob,O=Example instead of /O=Example/CN=Bob");
  }
  const rdns = splitUnescaped(text, ",").map((part) =>
    der(TAG.set, ...sorted(splitUnescaped(part, "+").map(attribute))),
  );
  return der(TAG.sequence, ...rdns.reverse());
}

/** AttributeTypeAndValue. */
function attribute(text: string): Uint8Array {
  const at = text.indexOf("=");
  if (at < 0) throw malformed(`has a part without "=": ${JSON.stringify(text)}`);
  const type = text.slice(0, at).trim();
  const row = BY_KEYWORD.get(type.toUpperCase());
  if (row === undefined && !/^[012](?:\.(?:0|[1-9]\d{0,9})){1,20}$/.test(type)) {
    throw malformed(`has an unknown attribute: ${JSON.stringify(type)}`, KNOWN);
  }
  const { oid, syntax } = row ?? { oid: type, syntax: "text" as const };
  const written = text.slice(at + 1).trim();
  if (written.startsWith("#")) return der(TAG.sequence, derOid(oid), fromHexText(written, type));
  const value = unescaped(text.slice(at + 1));
  if (value === "" || value.length > MAX_VALUE || /\p{Cc}/u.test(value)) {
    throw malformed(`has an empty, long or unprintable value for ${type}`);
  }
  if (!FITS[syntax].test(value)) throw malformed(`has a value that ${type} can't hold: ${value}`);
  return der(TAG.sequence, derOid(oid), der(TAGS[syntax], new TextEncoder().encode(value)));
}

/** A value as the hexadecimal of its DER, after a `#` (RFC 4514 §2.4). */
function fromHexText(text: string, type: string): Uint8Array {
  if (!/^#(?:[0-9A-Fa-f]{2}){2,256}$/.test(text))
    throw malformed(`has a malformed value for ${type}`);
  try {
    const value = fromHex(text.slice(1));
    const reader = new DerReader(value, "value");
    reader.skip();
    reader.end();
    return value;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw malformed(`has a value for ${type} that is not DER`);
  }
}

/** Parts between unescaped separators. */
function splitUnescaped(text: string, separator: string): string[] {
  const parts: string[] = [];
  let part = "";
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (char === "\\") part += char + (text[++at] ?? "");
    else if (char !== separator) part += char;
    else {
      parts.push(part);
      part = "";
    }
  }
  return [...parts, part];
}

/** Blanks around a value are no part of it, unless escaped (RFC 4514 §2.4). */
function unescaped(text: string): string {
  const trimmed = text.replace(/^ +/, "").replace(/(?<!\\) +$/, "");
  const bytes: Uint8Array[] = [];
  for (const [, hex, escaped, plain] of trimmed.matchAll(ESCAPES)) {
    const chars = escaped ?? plain;
    if (hex !== undefined) bytes.push(Uint8Array.of(parseInt(hex, 16)));
    else if (chars !== undefined) bytes.push(new TextEncoder().encode(chars));
    else throw malformed("ends with a backslash");
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(concatAll(bytes));
  } catch {
    throw malformed("has escapes that are not UTF-8");
  }
}

const ESCAPES = /\\([0-9A-Fa-f]{2})|\\(.)|([^\\]+)|\\$/gsu;

/** DER orders the values of a SET OF (X.690 §11.6). */
function sorted(values: Uint8Array[]): Uint8Array[] {
  return values.sort((a, b) => Buffer.compare(a, b));
}

function malformed(fact: string, hint = EXAMPLE): FormatError {
  return new FormatError("ERR_NAME_TEXT", `the name ${fact}`, { hint });
}

const EXAMPLE = 'a name is written as in "CN=Bob Example,O=Example,C=DE"';

/** RFC 5280 appendix A.1 has lower bounds for some; CAs check theirs. */
const MAX_VALUE = 256;

const TAGS: Readonly<Record<AttributeSyntax, number>> = {
  text: TAG.utf8String,
  printable: TAG.printableString,
  country: TAG.printableString,
  ia5: TAG.ia5String,
};

const FITS: Readonly<Record<AttributeSyntax, RegExp>> = {
  text: /^/,
  printable: /^[A-Za-z0-9 '()+,\-./:=?]*$/,
  country: /^[A-Z]{2}$/,
  ia5: /^[ -~]*$/,
};

/** By keyword in upper case. */
const BY_KEYWORD: ReadonlyMap<string, AttributeType> = new Map(
  ATTRIBUTE_TYPES.flatMap((type) =>
    [type.keyword, type.alias ?? []].flat().map((keyword) => [keyword.toUpperCase(), type]),
  ),
);

const KNOWN = `known are ${ATTRIBUTE_TYPES.map(({ keyword }) => keyword).join(", ")}, and OIDs`;
