/**
 * A distinguished name from the text that people write, `CN=Bob,O=Example,C=DE` (RFC 4514 §3), as
 * the DER of a Name (RFC 5280 §4.1.2.4). The text starts with the most specific part, the DER ends
 * with it.
 */
import { concat } from "../bytes.js";
import { FormatError } from "../errors.js";
import { der, TAG } from "../asn1/der.js";
import { derOid } from "../asn1/oid.js";

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
  const value = unescaped(text.slice(at + 1));
  const row = ATTRIBUTES.get(type.toUpperCase());
  if (row === undefined && !/^[012](?:\.(?:0|[1-9]\d{0,9})){1,20}$/.test(type)) {
    throw malformed(`has an unknown attribute: ${JSON.stringify(type)}`, KNOWN);
  }
  if (value === "" || value.length > MAX_VALUE || /\p{Cc}/u.test(value)) {
    throw malformed(`has an empty, long or unprintable value for ${type}`);
  }
  const { oid, kind } = row ?? { oid: type, kind: "utf8" as const };
  if (!FITS[kind].test(value)) throw malformed(`has a value that ${type} can't hold: ${value}`);
  return der(TAG.sequence, derOid(oid), der(TAGS[kind], new TextEncoder().encode(value)));
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
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(concat(...bytes));
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

type Kind = "utf8" | "printable" | "ia5" | "country";

const TAGS: Readonly<Record<Kind, number>> = {
  utf8: TAG.utf8String,
  printable: TAG.printableString,
  country: TAG.printableString,
  ia5: TAG.ia5String,
};

const FITS: Readonly<Record<Kind, RegExp>> = {
  utf8: /^/,
  printable: /^[A-Za-z0-9 '()+,\-./:=?]*$/,
  country: /^[A-Z]{2}$/,
  ia5: /^[ -~]*$/,
};

/** RFC 4514 §3, RFC 5280 §4.1.2.4 and appendix A.1. */
const ATTRIBUTES: ReadonlyMap<string, { readonly oid: string; readonly kind: Kind }> = new Map([
  ["CN", { oid: "2.5.4.3", kind: "utf8" }],
  ["SN", { oid: "2.5.4.4", kind: "utf8" }],
  ["SERIALNUMBER", { oid: "2.5.4.5", kind: "printable" }],
  ["C", { oid: "2.5.4.6", kind: "country" }],
  ["L", { oid: "2.5.4.7", kind: "utf8" }],
  ["ST", { oid: "2.5.4.8", kind: "utf8" }],
  ["STREET", { oid: "2.5.4.9", kind: "utf8" }],
  ["O", { oid: "2.5.4.10", kind: "utf8" }],
  ["OU", { oid: "2.5.4.11", kind: "utf8" }],
  ["T", { oid: "2.5.4.12", kind: "utf8" }],
  ["GN", { oid: "2.5.4.42", kind: "utf8" }],
  ["DC", { oid: "0.9.2342.19200300.100.1.25", kind: "ia5" }],
  ["UID", { oid: "0.9.2342.19200300.100.1.1", kind: "utf8" }],
  ["EMAILADDRESS", { oid: "1.2.840.113549.1.9.1", kind: "ia5" }],
  ["E", { oid: "1.2.840.113549.1.9.1", kind: "ia5" }],
]);

const KNOWN = `known are ${[...ATTRIBUTES.keys()].join(", ")}, and OIDs`;
