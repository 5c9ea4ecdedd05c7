/**
 * Distinguished names (RFC 5280 §4.1.2.4): read, compared as §7.1 has it, and written as text
 * (RFC 4514). Names are compared on every step of a path, so each is brought into the form for
 * comparison once, when it is first asked for.
 */
import { toHex } from "../bytes.js";
import { der, DerReader, TAG } from "../asn1/der.js";
import { derOid, oidText } from "../asn1/oid.js";
import { FormatError } from "../errors.js";
import { ATTRIBUTE_TYPES } from "./attribute-types.js";

export interface Attribute {
  /** Dotted OID. */
  readonly type: string;
  /** The DER value, whole. */
  readonly value: Uint8Array;
  /** What a value of a string type says; absent for other types. */
  readonly text?: string;
}

/** A name: relative distinguished names from the root down, each of one attribute or more. */
export interface Name {
  /** As it was sent. */
  readonly der: Uint8Array;
  readonly rdns: readonly (readonly Attribute[])[];
}

/**
 * Reads the next value of `reader`.
 *
 * @param tag - an implicit tag that stands for SEQUENCE.
 * @throws FormatError `ERR_DER`, `ERR_TRUNCATED`, `ERR_TRAILING`; more than 256 attributes, or text
 *   that is not of its type.
 */
export function readName(reader: DerReader, tag: number = TAG.sequence): Name {
  const content = reader.read(tag);
  const sets = new DerReader(content, "name");
  const rdns: Attribute[][] = [];
  let count = 0;
  while (sets.peek() !== undefined) {
    const rdn = readRdn(sets, TAG.set);
    count += rdn.length;
    if (count > MAX_ATTRIBUTES) throw new FormatError("ERR_DER", "a name has over 256 attributes");
    rdns.push(rdn);
  }
  return { der: der(TAG.sequence, content), rdns };
}

/** One relative distinguished name, such as the last part of a distribution point's name. */
export function readRdn(reader: DerReader, tag: number): Attribute[] {
  const set = reader.constructed(tag);
  const attributes: Attribute[] = [];
  do {
    const fields = set.sequence();
    const type = oidText(fields.read(TAG.oid));
    const value = fields.any();
    fields.end();
    const text = textOf(value);
    attributes.push(text === undefined ? { type, value } : { type, value, text });
  } while (set.peek() !== undefined);
  return attributes;
}

/** `name` with one more relative name below it (RFC 5280 §4.2.1.13: nameRelativeToCRLIssuer). */
export function nameBelow(name: Name, rdn: readonly Attribute[]): Name {
  const rdns = [...name.rdns, rdn];
  return { der: encode(rdns), rdns };
}

/** True if both names are the same: case, runs of spaces and string types don't matter (§7.1). */
export function sameName(a: Name, b: Name): boolean {
  return nameKey(a) === nameKey(b);
}

/** A text that two names have in common exactly if they are the same; a key for a map. */
export function nameKey(name: Name): string {
  return keysOf(name).whole;
}

/** True if `name` is `ancestor` or lies below it in the directory's tree. */
export function isWithin(name: Name, ancestor: Name): boolean {
  const keys = keysOf(name).rdns;
  return keysOf(ancestor).rdns.every((key, at) => keys[at] === key);
}

export function isEmptyName(name: Name): boolean {
  return name.rdns.length === 0;
}

/** The texts of all attributes of one type, from the root down. */
export function attributeTexts(name: Name, type: string): string[] {
  return name.rdns.flat().flatMap((found) => {
    return found.type === type && found.text !== undefined ? [found.text] : [];
  });
}

/** The name as RFC 4514 writes it, most specific part first: `CN=Bob,O=Example`. */
export function nameText(name: Name): string {
  const part = (attribute: Attribute): string => {
    const keyword = KEYWORDS.get(attribute.type);
    const { text } = attribute;
    return keyword === undefined || text === undefined
      ? `${keyword ?? attribute.type}=#${toHex(attribute.value)}`
      : `${keyword}=${escaped(text)}`;
  };
  return [...name.rdns]
    .reverse()
    .map((rdn) => rdn.map(part).join("+"))
    .join(",");
}

/** OIDs of attributes that programs look for. */
export const ATTRIBUTE = {
  commonName: "2.5.4.3",
  emailAddress: "1.2.840.113549.1.9.1",
} as const;

// ── Comparing ──

/** The form for comparison of each relative name, and of the name. */
interface Keys {
  readonly rdns: readonly string[];
  readonly whole: string;
}

const KEYS = new WeakMap<Name, Keys>();

function keysOf(name: Name): Keys {
  let keys = KEYS.get(name);
  if (keys === undefined) {
    // The attributes of one RDN are a SET: their order means nothing.
    const rdns = name.rdns.map((rdn) => rdn.map(attributeKey).sort().join("+"));
    keys = { rdns, whole: rdns.join("\n") };
    KEYS.set(name, keys);
  }
  return keys;
}

function attributeKey({ type, value, text }: Attribute): string {
  const prepared = text === undefined ? undefined : prepare(text);
  return prepared === undefined ? `${type}#${toHex(value)}` : `${type}=${JSON.stringify(prepared)}`;
}

/**
 * RFC 4518's preparation of a string for caseIgnoreMatch, or undefined for a character that no
 * comparison is defined for: then only the same bytes are the same.
 */
function prepare(text: string): string | undefined {
  if (/^[\x21-\x7e]+$/.test(text)) return text.toLowerCase();
  const mapped = text
    .replace(/[\t\n\v\f\r\x85\p{Z}]/gu, " ")
    .replace(/[\p{Cc}\p{Cf}\u034f\u180b-\u180d\ufe00-\ufe0f\ufffc]/gu, "");
  // Upper case first: the sharp s and its like have a fold of several letters.
  const folded = mapped.normalize("NFKC").toUpperCase().toLowerCase().normalize("NFKC");
  if (/[\p{Co}\p{Cs}\p{Cn}\ufffd]/u.test(folded)) return undefined;
  return folded.replace(/ +/g, " ").replace(/^ | $/g, "");
}

// ── Strings ──

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What a string value says; undefined for values of other types. */
function textOf(value: Uint8Array): string | undefined {
  const tag = value[0] as number;
  if (!STRINGS.has(tag)) return undefined;
  const content = new DerReader(value, "name").read(tag);
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.length);
  switch (tag) {
    case TAG.utf8String:
      return decodeUtf8(content);
    case TAG.bmpString:
      return utf16(content);
    case TAG.universalString:
      return utf32(buffer);
    default:
      // T.61 is read as Latin-1, which is what its writers meant; PrintableString often has more
      // characters than it may.
      return buffer.toString("latin1");
  }
}

function decodeUtf8(content: Uint8Array): string {
  try {
    return utf8.decode(content);
  } catch {
    throw new FormatError("ERR_DER", "a name has text that is not UTF-8");
  }
}

function utf16(content: Uint8Array): string {
  if (content.length % 2 !== 0) throw new FormatError("ERR_DER", "a name has half a character");
  return Buffer.from(content).swap16().toString("utf16le");
}

function utf32(buffer: Buffer): string {
  if (buffer.length % 4 !== 0) throw new FormatError("ERR_DER", "a name has part of a character");
  let text = "";
  for (let at = 0; at < buffer.length; at += 4) {
    const point = buffer.readUInt32BE(at);
    if (point > 0x10ffff) throw new FormatError("ERR_DER", "a name has a character above Unicode");
    text += String.fromCodePoint(point);
  }
  return text;
}

const STRINGS: ReadonlySet<number> = new Set([
  TAG.utf8String,
  TAG.printableString,
  TAG.teletexString,
  TAG.ia5String,
  TAG.bmpString,
  TAG.universalString,
]);

// ── Writing ──

function encode(rdns: readonly (readonly Attribute[])[]): Uint8Array {
  const attribute = ({ type, value }: Attribute): Uint8Array =>
    der(TAG.sequence, derOid(type), value);
  return der(TAG.sequence, ...rdns.map((rdn) => der(TAG.set, ...rdn.map(attribute))));
}

/** RFC 4514 §2.4. */
function escaped(text: string): string {
  return text
    .replace(/[\\"+,;<>]/g, "\\$&")
    .replace(/^[ #]/, "\\$&")
    .replace(/ $/, "\\ ")
    .replace(/\0/g, "\\00");
}

const KEYWORDS: ReadonlyMap<string, string> = new Map(
  ATTRIBUTE_TYPES.map(({ oid, keyword }) => [oid, keyword]),
);

const MAX_ATTRIBUTES = 256;
