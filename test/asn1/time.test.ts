import { describe, expect, it } from "@jest/globals";
import { der, DerReader, TAG } from "../../src/asn1/der.js";
import { derTime, readTime } from "../../src/asn1/time.js";
import { ascii } from "../../src/bytes.js";
import { FormatError } from "../../src/errors.js";

const read = (tag: number, text: string): string =>
  new Date(readTime(new DerReader(der(tag, ascii(text)), "time"))).toISOString();

describe("a time", () => {
  it.each([
    [TAG.utcTime, "500101000000Z", "1950-01-01T00:00:00.000Z"],
    [TAG.utcTime, "491231235959Z", "2049-12-31T23:59:59.000Z"],
    [TAG.utcTime, "240229120000Z", "2024-02-29T12:00:00.000Z"],
    [TAG.generalizedTime, "20500101000000Z", "2050-01-01T00:00:00.000Z"],
    [TAG.generalizedTime, "00010101000000Z", "0001-01-01T00:00:00.000Z"],
    [TAG.generalizedTime, "99991231235959Z", "9999-12-31T23:59:59.000Z"],
  ])("%i %s is read, and written alike where RFC 5280 has it so", (tag, text, iso) => {
    expect(read(tag, text)).toBe(iso);
    if (Date.parse(iso) > 0) expect(derTime(Date.parse(iso))).toEqual(der(tag, ascii(text)));
  });

  it.each([
    [TAG.utcTime, "2402291200Z"],
    [TAG.utcTime, "240229120000+0100"],
    [TAG.utcTime, "230229120000Z"],
    [TAG.utcTime, "241301000000Z"],
    [TAG.utcTime, "240100000000Z"],
    [TAG.utcTime, "240101240000Z"],
    [TAG.utcTime, "240101006000Z"],
    [TAG.utcTime, "240101000060Z"],
    [TAG.generalizedTime, "20240101000000.5Z"],
    [TAG.generalizedTime, "20240101000000"],
    [TAG.generalizedTime, "240101000000Z"],
    [TAG.octetString, "20240101000000Z"],
  ])("%i %s is refused", (tag, text) => {
    expect(() => read(tag, text)).toThrow(FormatError);
  });
});
