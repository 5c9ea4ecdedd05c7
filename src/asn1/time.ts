/**
 * UTCTime and GeneralizedTime as certificates, CRLs and signed messages have them: in UTC, to the
 * second (RFC 5280 §4.1.2.5).
 */
import { ascii } from "../bytes.js";
import { FormatError } from "../errors.js";
import { der, TAG, type DerReader } from "./der.js";

/**
 * The next value of `reader`, a UTCTime or GeneralizedTime, in milliseconds since 1970. A two-digit
 * year from 50 is of the twentieth century.
 *
 * @throws FormatError `ERR_DER`: another form, a fraction of a second, or a day that doesn't exist.
 */
export function readTime(reader: DerReader): number {
  return timeOf(reader, reader.peek() === TAG.utcTime ? TAG.utcTime : TAG.generalizedTime);
}

/** The same, of a value that must be a GeneralizedTime: `tag` may be one that stands for it. */
export function readGeneralizedTime(reader: DerReader, tag: number = TAG.generalizedTime): number {
  return timeOf(reader, tag);
}

/** The time as RFC 5280 has it written: UTCTime from 1950 to 2049, GeneralizedTime otherwise. */
export function derTime(ms: number): Uint8Array<ArrayBuffer> {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  const year = Number(digits.slice(0, 4));
  return year >= 1950 && year < 2050
    ? der(TAG.utcTime, ascii(digits.slice(2)))
    : der(TAG.generalizedTime, ascii(digits));
}

function timeOf(reader: DerReader, tag: number): number {
  const text = Buffer.from(reader.read(tag)).toString("latin1");
  const short = tag === TAG.utcTime;
  const fields = (short ? UTC : GENERALIZED).exec(text);
  if (fields === null) throw new FormatError("ERR_DER", "a time is not in UTC to the second");
  const [yearField, month, day, hour, minute, second] = fields.slice(1).map(Number) as Fields;
  const year = short ? yearField + (yearField < 50 ? 2000 : 1900) : yearField;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const exists =
    date.getUTCFullYear() === year &&
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    hour < 24 &&
    minute < 60 &&
    second < 60;
  if (!exists) throw new FormatError("ERR_DER", "a time doesn't exist in the calendar");
  return date.getTime();
}

type Fields = [number, number, number, number, number, number];

const UTC = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const GENERALIZED = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
