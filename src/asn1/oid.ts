/**
 * Object identifiers (X.690 §8.19), between the content octets of an OBJECT IDENTIFIER and the
 * dotted text that specifications print.
 */
import { toHex } from "../bytes.js";
import { FormatError } from "../errors.js";
import { der, TAG } from "./der.js";

/** Content octets longer than this are refused: the longest in use have a third of it. */
const MAX_OID_BYTES = 64;

/**
 * Dotted text, as in `1.2.840.113549.1.7.2`, of an OBJECT IDENTIFIER's content.
 *
 * @throws FormatError `ERR_DER`: empty, too long, cut off, or an arc with needless zeros
 */
export function oidText(content: Uint8Array): string {
  const last = content.at(-1);
  if (last === undefined || last >= 0x80 || content.length > MAX_OID_BYTES) {
    throw malformed(content);
  }
  const arcs: bigint[] = [];
  let arc = 0n;
  let isFirstByte = true;
  for (const byte of content) {
    if (isFirstByte && byte === 0x80) throw malformed(content);
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    isFirstByte = byte < 0x80;
    if (!isFirstByte) continue;
    arcs.push(arc);
    arc = 0n;
  }
  // §8.19.4: the first two arcs are one number, X * 40 + Y, where X is at most 2.
  const [joined = 0n, ...rest] = arcs;
  const x = joined < 80n ? joined / 40n : 2n;
  return [x, joined - x * 40n, ...rest].join(".");
}

/** An OBJECT IDENTIFIER whole, in DER, of its dotted text. */
export function derOid(dotted: string): Uint8Array<ArrayBuffer> {
  return der(TAG.oid, oidContent(dotted));
}

/** The content octets of an OBJECT IDENTIFIER, of its dotted text. */
export function oidContent(dotted: string): Uint8Array {
  const [x, y, ...rest] = dotted.split(".").map((arc) => BigInt(arc));
  if (x === undefined || y === undefined || x > 2n || (x < 2n && y >= 40n)) {
    throw new RangeError(`${dotted} is not an object identifier`);
  }
  return Uint8Array.from([x * 40n + y, ...rest].flatMap(base128));
}

function base128(arc: bigint): number[] {
  const bytes = [Number(arc & 0x7fn)];
  for (let left = arc >> 7n; left > 0n; left >>= 7n) bytes.unshift(Number(left & 0x7fn) | 0x80);
  return bytes;
}

function malformed(content: Uint8Array): FormatError {
  const shown = toHex(content.subarray(0, MAX_OID_BYTES));
  return new FormatError("ERR_DER", `0x${shown} is not an object identifier`);
}
