import { execFileSync } from "node:child_process";
import { describe, expect, it } from "@jest/globals";
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
  ])("refuses %j", (text, fact) => {
    expect(() => nameFromText(text)).toThrow(fact);
  });
});
