import { execFileSync } from "node:child_process";
import { describe, expect, it } from "@jest/globals";
import { der, DerReader, TAG } from "../../src/asn1/der.js";
import { derOid } from "../../src/asn1/oid.js";
import { ascii } from "../../src/bytes.js";
import { ATTRIBUTE_TYPES } from "../../src/x509/attribute-types.js";
import { nameText, readName } from "../../src/x509/name.js";
import { nameFromText } from "../../src/x509/name-from-text.js";

/** What OpenSSL sees: `TYPE kind value` of each attribute, in the order of the DER. */
function seen(name: Uint8Array): string[] {
  const text = execFileSync("openssl", ["asn1parse", "-inform", "DER"], { input: name }).toString();
  const values = text
    .split("\n")
    .flatMap((line) => /prim: (\S+) *:(.*)/.exec(line)?.slice(1) ?? []);
  return values;
}

describe("a name from text", () => {
  it("the DER has the parts in reverse, each with its kind of string", () => {
    expect(seen(nameFromText("CN=Bob, O = Example Ltd ,DC=example,C=DE"))).toEqual([
      ...["OBJECT", "countryName", "PRINTABLESTRING", "DE"],
      ...["OBJECT", "domainComponent", "IA5STRING", "example"],
      ...["OBJECT", "organizationName", "UTF8STRING", "Example Ltd"],
      ...["OBJECT", "commonName", "UTF8STRING", "Bob"],
    ]);
  });

  it.each([
    ["CN=a\\,b", "a,b"],
    ["CN=a\\+b", "a+b"],
    ["CN=\\ a\\ ", " a "],
    ["CN=Lu\\C4\\8Di\\C4\\87", "Lučić"],
    ["CN=a\\\\b", "a\\b"],
    ["CN=a=b", "a=b"],
    ["2.5.4.3=a", "a"],
  ])("%s", (text, value) => {
    const name = nameFromText(text);
    const length = new TextEncoder().encode(value).length;
    expect(new TextDecoder().decode(name.subarray(name.length - length))).toBe(value);
    expect(name.at(-length - 1)).toBe(length);
  });

  it("several attributes in one part are ordered as DER orders a set", () => {
    expect(nameFromText("CN=b+UID=a")).toEqual(nameFromText("UID=a+CN=b"));
  });

  it.each([
    ["/CN=a", /slash/],
    ["", /without "="/],
    ["a", /without "="/],
    ["CN=a,", /without "="/],
    ["XX=a", /unknown attribute/],
    ["2.5=a\\", /backslash/],
    ["CN=", /empty/],
    ["CN=a\\00", /unprintable/],
    ["CN=\\FF", /not UTF-8/],
    ["C=Germany", /can't hold/],
    ["DC=bücher", /can't hold/],
    ["E=zoë@example.org", /can't hold/],
    [`CN=${"a".repeat(257)}`, /long/],
    ["CN=#0c", /malformed value/],
    ["CN=#0c0", /malformed value/],
    ["CN=#0c0161ff", /not DER/],
    ["CN=#0c0261", /not DER/],
  ])("refuses %j", (text, fact) => {
    expect(() => nameFromText(text)).toThrow(fact);
  });
});

describe("a name as it is printed is read again", () => {
  const printed = (name: Uint8Array): string => nameText(readName(new DerReader(name, "name")));

  it.each(ATTRIBUTE_TYPES.map(({ keyword }) => keyword))("%s", (keyword) => {
    const name = nameFromText(`${keyword}=DE`);
    expect(printed(name)).toBe(`${keyword}=DE`);
    expect(nameFromText(printed(name))).toEqual(name);
  });

  it.each([
    ["of a type without a keyword", "1.2.3", TAG.utf8String, "text"],
    ["that is no text", "2.5.4.3", TAG.octetString, "#"],
  ])("a value %s", (_, oid, tag, content) => {
    const attribute = der(TAG.sequence, derOid(oid), der(tag, ascii(content)));
    const name = der(TAG.sequence, der(TAG.set, attribute));
    expect(printed(name)).toContain("=#");
    expect(nameFromText(printed(name))).toEqual(name);
  });

  it("a text that begins with a number sign", () => {
    const name = nameFromText("CN=\\#0c0161");
    expect(printed(name)).toBe("CN=\\#0c0161");
    expect(nameFromText("CN=#0c0161")).toEqual(nameFromText("CN=a"));
  });
});
