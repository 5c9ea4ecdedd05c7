import { describe, expect, it } from "@jest/globals";
import { derOid, oidContent, oidText } from "../../src/asn1/oid.js";
import { fromHex, toHex } from "../../src/bytes.js";
import { codeOf } from "../keys/support.js";

describe("object identifiers", () => {
  it.each([
    ["1.2.840.113549.1.7.2", "2a864886f70d010702"],
    ["2.5.29.32.0", "551d2000"],
    ["0.9.2342.19200300.100.1.25", "0992268993f22c640119"],
    ["2.999.1", "883701"],
    ["1.39", "4f"],
    ["2.25.329800735698586629295641978511506172918", "6983f09da7ebcfdee0c7a1a7b2c0948cc8f9d776"],
  ])("%s is %s", (dotted, hex) => {
    expect(toHex(oidContent(dotted))).toBe(hex);
    expect(oidText(fromHex(hex))).toBe(dotted);
    expect(toHex(derOid(dotted))).toBe(`06${(hex.length / 2).toString(16).padStart(2, "0")}${hex}`);
  });

  it.each([
    ["nothing", ""],
    ["an arc that is cut off", "2a86"],
    ["an arc with needless zeros", "2a8048"],
    ["a first arc with needless zeros", "802a"],
    ["too many bytes", "2a".repeat(65)],
  ])("%s is refused", (_, hex) => {
    expect(codeOf(() => oidText(fromHex(hex)))).toBe("ERR_DER");
  });

  it.each(["1", "3.1", "1.40", "0.99"])("%s is not an object identifier", (dotted) => {
    expect(() => oidContent(dotted)).toThrow(RangeError);
  });
});
