/** Name constraints: every kind of name, inside and outside, permitted and excluded. */
import { describe, expect, it } from "@jest/globals";
import { der, TAG } from "../../src/asn1/der.js";
import {
  AUTHORITY_EXTENSIONS,
  generalName,
  nameConstraints,
  rootAuthority,
  subjectAltNames,
  type NameParts,
} from "../support/certificates.js";
import { verdict } from "./support.js";

const { email, dns, uri, ip, directory, registeredId, other } = generalName;
const root = rootAuthority();

type Names = readonly Uint8Array[];

function judge(
  permitted: Names,
  excluded: Names,
  names: Names,
  subject: NameParts = { CN: "Bob" },
) {
  const extensions = [...AUTHORITY_EXTENSIONS, nameConstraints(permitted, excluded)];
  const authority = root.authority("Constrained", { extensions });
  const bob = authority.issue({
    subject,
    extensions: names.length === 0 ? [] : [subjectAltNames(...names)],
  });
  return verdict(bob, { anchors: [root], others: [authority] }).replace(/:.*/, "");
}

const NAME = "ERR_CERTIFICATE_NAME";
const utf8 = (text: string) => der(TAG.utf8String, Buffer.from(text));

/** A constraint, a name, and whether the name is inside; undefined: it can't be told. */
const CASES: [string, Uint8Array, Uint8Array, boolean | undefined][] = [
  ["an address", email("bob@example.com"), email("bob@EXAMPLE.com"), true],
  ["another local part", email("bob@example.com"), email("Bob@example.com"), false],
  ["a host", email("example.com"), email("bob@example.com"), true],
  ["a host below it", email("example.com"), email("bob@mail.example.com"), false],
  ["a domain", email(".example.com"), email("bob@mail.example.com"), true],
  ["the host of the domain", email(".example.com"), email("bob@example.com"), false],
  ["a host with the same end", email("example.com"), email("bob@badexample.com"), false],
  ["every address", email(""), email("bob@example.com"), true],
  ["a quoted @", email("example.com"), email('"a@b"@example.com'), true],
  ["two @", email("example.com"), email("a@evil.org@example.com"), undefined],
  ["no address", email("example.com"), email("example.com"), undefined],
  ["an address with a line end", email("example.com"), email("a\nb@example.com"), undefined],
  ["an address with a NUL", email("example.com"), email("a@evil.org\0@example.com"), undefined],
  ["a DNS name", dns("example.com"), dns("EXAMPLE.com"), true],
  ["a DNS name below", dns("example.com"), dns("a.b.example.com"), true],
  ["a DNS name with the same end", dns("example.com"), dns("badexample.com"), false],
  ["a DNS name above", dns("a.example.com"), dns("example.com"), false],
  ["any DNS name", dns(""), dns("example.com"), true],
  ["a wildcard", dns("example.com"), dns("*.example.com"), true],
  ["a wildcard at another place", dns("example.com"), dns("a.*.example.com"), undefined],
  ["a DNS name with a point at its end", dns("example.com"), dns("example.com."), undefined],
  ["a DNS name with a blank", dns("example.com"), dns("a b.example.com"), undefined],
  ["a URI", uri("example.com"), uri("https://example.com/x"), true],
  ["a URI with a user and a port", uri("example.com"), uri("https://a.org@example.com:443/"), true],
  ["a URI of a host below", uri("example.com"), uri("https://a.example.com/"), false],
  ["a URI below a domain", uri(".example.com"), uri("https://a.example.com/"), true],
  [
    "a URI with the host in its path",
    uri("example.com"),
    uri("https://evil.org/@example.com/"),
    false,
  ],
  ["a URI without a host", uri("example.com"), uri("urn:example.com"), undefined],
  ["a URI with an address", uri("example.com"), uri("https://192.0.2.1/"), undefined],
  ["an IPv4 address", ip(192, 0, 2, 0, 255, 255, 255, 0), ip(192, 0, 2, 9), true],
  ["an IPv4 address beyond", ip(192, 0, 2, 0, 255, 255, 255, 0), ip(192, 0, 3, 9), false],
  ["half a byte of mask", ip(10, 16, 0, 0, 255, 240, 0, 0), ip(10, 31, 255, 255), true],
  ["half a byte of mask, beyond", ip(10, 16, 0, 0, 255, 240, 0, 0), ip(10, 32, 0, 0), false],
  [
    "an IPv6 address for IPv4",
    ip(0, 0, 0, 0, 0, 0, 0, 0),
    ip(...new Array<number>(16).fill(0)),
    false,
  ],
  ["an address of 5 bytes", ip(0, 0, 0, 0, 0, 0, 0, 0), ip(1, 2, 3, 4, 5), undefined],
  ["a directory name", directory({ O: "Example" }), directory({ O: "EXAMPLE", CN: "x" }), true],
  [
    "a directory name beside it",
    directory({ O: "Example" }),
    directory({ O: "Other", CN: "x" }),
    false,
  ],
  ["another registered ID", registeredId("1.2.3"), registeredId("1.2.4"), undefined],
  ["the same registered ID", registeredId("1.2.3"), registeredId("1.2.3"), true],
  [
    "another kind of name, of the same type",
    other("1.2.3", utf8("a")),
    other("1.2.3", utf8("a")),
    undefined,
  ],
];

describe("a constraint", () => {
  /** The subject has to lie in what is permitted for directory names. */
  const subject: NameParts = { O: "Example", CN: "Bob" };
  it.each(CASES)("%s", (_, constraint, name, inside) => {
    expect(judge([constraint], [], [name], subject)).toBe(inside === true ? "trusted" : NAME);
    const excludes = constraint[0] === 0xa4 ? { CN: "Bob" } : subject;
    expect(judge([], [constraint], [name], excludes)).toBe(inside === false ? "trusted" : NAME);
  });

  it("doesn't touch names of other kinds", () => {
    expect(judge([dns("example.com")], [], [email("a@example.org")])).toBe("trusted");
    expect(judge([], [dns("")], [email("a@example.org")])).toBe("trusted");
    expect(judge([other("1.2.3", utf8("a"))], [], [other("1.2.4", utf8("a"))])).toBe("trusted");
  });

  it("of several, one has to fit; of excluded ones, none", () => {
    const both = [email("a.org"), email("b.org")];
    expect(judge(both, [], [email("x@b.org")])).toBe("trusted");
    expect(judge(both, [], [email("x@b.org"), email("x@c.org")])).toBe(NAME);
    expect(judge([email("a.org")], [email("x@a.org")], [email("x@a.org")])).toBe(NAME);
    expect(judge([email("a.org")], [email("x@a.org")], [email("y@a.org")])).toBe("trusted");
  });

  it("excludes wildcards that stand for an excluded name", () => {
    expect(judge([], [dns("secret.example.com")], [dns("*.example.com")])).toBe(NAME);
    expect(judge([], [dns("secret.example.com")], [dns("*.example.org")])).toBe("trusted");
  });

  it("holds for the subject, and for the address in it, too", () => {
    expect(judge([directory({ O: "Example" })], [], [], { O: "Other", CN: "Bob" })).toBe(NAME);
    expect(judge([], [directory({ O: "Other" })], [], { O: "Other", CN: "Bob" })).toBe(NAME);
    const subject = { CN: "Bob", emailAddress: "bob@evil.org" };
    expect(judge([email("example.com")], [], [], subject)).toBe(NAME);
    expect(judge([email("example.com")], [], [email("b@example.com")], subject)).toBe(NAME);
  });

  it.each([
    ["a mask with holes", ip(10, 0, 0, 0, 255, 0, 255, 0)],
    ["an address without a mask", ip(10, 0, 0, 0)],
    ["a DNS name with a point first", dns(".example.com")],
    ["a DNS name with a wildcard", dns("*.example.com")],
    ["an address with two hosts", email("a@b@example.com")],
    ["a host with a blank", email("exam ple.com")],
    ["a URI whole", uri("https://example.com/")],
  ])("that is malformed refuses the path: %s", (_, constraint) => {
    expect(judge([constraint], [], [])).toBe(NAME);
    expect(judge([], [constraint], [])).toBe(NAME);
  });
});

describe("constraints of several authorities", () => {
  const constrained = (...permitted: Names) => [
    ...AUTHORITY_EXTENSIONS,
    nameConstraints(permitted),
  ];

  it("all hold", () => {
    const first = root.authority("First", {
      extensions: constrained(email("a.org"), email("b.org")),
    });
    const second = first.authority("Second", {
      extensions: constrained(email("b.org"), email("c.org")),
    });
    const ends = ["a.org", "b.org", "c.org"].map((host) => {
      const bob = second.issue({ extensions: [subjectAltNames(email(`x@${host}`))] });
      return verdict(bob, { anchors: [root], others: [first, second] }).replace(/:.*/, "");
    });
    expect(ends).toEqual([NAME, "trusted", NAME]);
  });

  it("hold for the authorities below, but not for self-issued ones", () => {
    const first = root.authority("First", {
      subject: { O: "First", CN: "CA" },
      extensions: constrained(directory({ O: "Users" })),
    });
    const self = first.authority("", { subject: { O: "First", CN: "CA" } });
    const below = first.authority("", { subject: { O: "First", CN: "Below" } });
    const user = { subject: { O: "Users", CN: "Bob" } };
    expect(verdict(self.issue(user), { anchors: [root], others: [first, self] })).toBe("trusted");
    expect(verdict(below.issue(user), { anchors: [root], others: [first, below] })).toMatch(
      /^ERR_CERTIFICATE_NAME/,
    );
  });

  it("hold for a self-issued certificate at the end of the path", () => {
    const first = root.authority("First", { extensions: constrained(directory({ O: "Users" })) });
    const end = first.issue({ subject: { CN: "First" } });
    expect(verdict(end, { anchors: [root], others: [first] })).toMatch(/^ERR_CERTIFICATE_NAME/);
  });

  it("hold when the anchor has them", () => {
    const anchor = rootAuthority("Constrained", { extensions: constrained(email("a.org")) });
    const mail = (host: string) =>
      anchor.issue({ extensions: [subjectAltNames(email(`x@${host}`))] });
    expect(verdict(mail("a.org"), { anchors: [anchor] })).toBe("trusted");
    expect(verdict(mail("b.org"), { anchors: [anchor] })).toMatch(/^ERR_CERTIFICATE_NAME/);
  });
});
