import { describe, expect, it } from "@jest/globals";
import { der, DerReader, TAG } from "../../src/asn1/der.js";
import { derOid } from "../../src/asn1/oid.js";
import { ascii, concat, fromHex } from "../../src/bytes.js";
import { FormatError } from "../../src/errors.js";
import { attributeTexts, isWithin, nameText, readName, sameName } from "../../src/x509/name.js";
import { nameBytes } from "../support/certificates.js";

const parse = (bytes: Uint8Array) => readName(new DerReader(bytes, "name"));

const CN = "2.5.4.3";
const attribute = (type: string, tag: number, value: Uint8Array): Uint8Array =>
  der(TAG.sequence, derOid(type), der(tag, value));
const one = (tag: number, value: Uint8Array, type = CN): Uint8Array =>
  der(TAG.sequence, der(TAG.set, attribute(type, tag, value)));

describe("names are the same", () => {
  const plain = one(TAG.printableString, ascii("Bob Example"));

  it.each([
    ["in another string type", one(TAG.utf8String, ascii("Bob Example"))],
    ["in UTF-16", one(TAG.bmpString, Buffer.from("Bob Example", "utf16le").swap16())],
    ["in other case", one(TAG.utf8String, ascii("bOB eXAMPLE"))],
    ["with more spaces", one(TAG.printableString, ascii("  Bob   Example "))],
    ["with a soft hyphen", one(TAG.utf8String, ascii("B\u00adob Example"))],
    ["with wide letters", one(TAG.utf8String, ascii("Ｂob Example"))],
  ])("%s", (_, other) => {
    expect(sameName(parse(plain), parse(other))).toBe(true);
  });

  it("with the attributes of one RDN in another order", () => {
    const [a, b] = [attribute(CN, 0x0c, ascii("a")), attribute("2.5.4.10", 0x0c, ascii("b"))];
    const both = (...parts: Uint8Array[]) => parse(der(TAG.sequence, der(TAG.set, ...parts)));
    expect(sameName(both(a, b), both(b, a))).toBe(true);
  });

  it("with letters whose folds have several", () => {
    const [a, b] = ["Straße", "STRASSE"].map((text) => parse(one(TAG.utf8String, ascii(text))));
    expect(sameName(a as never, b as never)).toBe(true);
  });
});

describe("names differ", () => {
  const names: [string, Uint8Array][] = [
    ["CN=ab", nameBytes({ CN: "ab" })],
    ["CN=a b", nameBytes({ CN: "a b" })],
    ["OU=ab", nameBytes({ OU: "ab" })],
    ["CN=b under OU=a", nameBytes({ OU: "a", CN: "b" })],
    ["OU=a under CN=b", nameBytes({ CN: "b", OU: "a" })],
    ["nothing", nameBytes({})],
    ["text that looks like two RDNs", nameBytes({ CN: "b\n2.5.4.11=a" })],
    ["text that looks like two attributes", nameBytes({ CN: 'b"+2.5.4.11="a' })],
    [
      "two attributes in one RDN",
      der(
        TAG.sequence,
        der(TAG.set, attribute("2.5.4.11", 0x0c, ascii("a")), attribute(CN, 0x0c, ascii("b"))),
      ),
    ],
    ["no string", one(TAG.octetString, ascii("ab"))],
    ["a private character", one(TAG.utf8String, ascii("ab\ue000"))],
    ["another private character", one(TAG.utf8String, ascii("ab\ue001"))],
  ];
  it("each from each", () => {
    for (const [index, [, a]] of names.entries()) {
      for (const [other, [, b]] of names.entries()) {
        expect([index, other, sameName(parse(a), parse(b))]).toEqual([
          index,
          other,
          index === other,
        ]);
      }
    }
  });
});

it("a name lies within those above it, and within itself", () => {
  const name = parse(nameBytes({ C: "DE", O: "Example", CN: "Bob" }));
  expect(isWithin(name, parse(nameBytes({ C: "DE", O: "EXAMPLE" })))).toBe(true);
  expect(isWithin(name, name)).toBe(true);
  expect(isWithin(name, parse(nameBytes({})))).toBe(true);
  expect(isWithin(name, parse(nameBytes({ O: "Example" })))).toBe(false);
  expect(isWithin(parse(nameBytes({ C: "DE" })), name)).toBe(false);
});

it("the text is RFC 4514's, with what it escapes", () => {
  expect(nameText(parse(nameBytes({ C: "DE", O: 'A+B, "C"', CN: " #Bob " })))).toBe(
    'CN=\\ #Bob\\ ,O=A\\+B\\, \\"C\\",C=DE',
  );
  expect(nameText(parse(one(TAG.octetString, fromHex("0102"), "1.2.3")))).toBe("1.2.3=#04020102");
  expect(attributeTexts(parse(nameBytes({ OU: "x", CN: "y" })), CN)).toEqual(["y"]);
});

it.each([
  ["malformed UTF-8", one(TAG.utf8String, fromHex("c0af"))],
  ["half a UTF-16 unit", one(TAG.bmpString, fromHex("004100"))],
  ["three bytes of UTF-32", one(TAG.universalString, fromHex("000041"))],
  ["a character above Unicode", one(TAG.universalString, fromHex("00110000"))],
  ["an empty RDN", der(TAG.sequence, der(TAG.set))],
  [
    "an RDN that is a SEQUENCE",
    der(TAG.sequence, der(TAG.sequence, attribute(CN, 0x0c, ascii("a")))),
  ],
  [
    "more in an attribute",
    der(TAG.sequence, der(TAG.set, der(TAG.sequence, derOid(CN), der(0x0c), der(5)))),
  ],
  [
    "257 attributes",
    der(
      TAG.sequence,
      ...Array.from({ length: 257 }, () => der(TAG.set, attribute(CN, 0x0c, ascii("a")))),
    ),
  ],
  ["a cut", concat(nameBytes({ CN: "a" })).subarray(0, -1)],
])("%s is refused", (_, bytes) => {
  expect(() => parse(bytes)).toThrow(FormatError);
});
