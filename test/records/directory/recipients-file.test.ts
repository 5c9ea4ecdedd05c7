import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  findByName,
  isRecipientName,
  MAX_ENTRIES,
  parseRecipient,
  parseRecipientsFile,
  recipientsText,
  type RecipientEntry,
} from "../../../src/records/directory/recipients-file.js";
import type { ExchangePublicKey } from "../../../src/keys/key.js";
import { formatPublicKey } from "../../../src/keys/formats/key-file.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { codeOf, refusal, testKey } from "../../keys/support.js";
import { publicDer, publicPem, TEST_KEYS, type TestKeyName } from "../../support/keys.js";

const NOW = new Date("2027-01-01T00:00:00Z");

function parse(text: string): RecipientEntry[] {
  return parseRecipientsFile(text, "friends", { now: NOW });
}

function key(name: TestKeyName): ExchangePublicKey {
  return publicKeyFromSpki(publicDer(TEST_KEYS[name])) as ExchangePublicKey;
}

function line(name: TestKeyName, format: "ssh" | "jwk" | "pem", oaep?: "sha1"): string {
  const options = oaep === undefined ? {} : { oaep };
  return Buffer.from(formatPublicKey(key(name), format, options))
    .toString("utf8")
    .trimEnd();
}

function textOf(entry: Exclude<RecipientEntry, { kind: "key" }>): string {
  if (entry.kind === "signs") return entry.type;
  return entry.kind === "uri" ? entry.uri : entry.path;
}

/** The entry without its key's bytes, for comparisons. */
function shape(entry: RecipientEntry): Record<string, unknown> {
  const { line: at, name, kind } = entry;
  const what =
    entry.kind === "key"
      ? { spki: entry.key.publicKey.spki, oaep: entry.key.oaep }
      : { text: textOf(entry) };
  return { at, name, kind, ...what };
}

const PEM = publicPem(TEST_KEYS.p256).trimEnd();

describe("a recipients file that is refused", () => {
  it.each([
    ["a name twice", "alice = a.pem\nalice = b.pem\n", "ERR_DUPLICATE_NAME", 2],
    ["a name twice, in another case", "alice = a.pem\n\nALICE = b.pem\n", "ERR_DUPLICATE_NAME", 3],
    ["a name without a key", "alice =\n", "ERR_RECIPIENTS_FILE", 1],
    ["a name whose key is a comment", "alice =\n# a.pem\n", "ERR_RECIPIENTS_FILE", 1],
    ["a name whose key is on the next line", "alice =\na.pem\n", "ERR_RECIPIENTS_FILE", 1],
    ["a name with a slash", "a/b = c.pem\n", "ERR_RECIPIENTS_FILE", 1],
    ["a name that begins like an option", "-r = c.pem\n", "ERR_RECIPIENTS_FILE", 1],
    [
      "a name of a letter that looks like another",
      "\u0430lice = c.pem\n",
      "ERR_RECIPIENTS_FILE",
      1,
    ],
    ["a name of 65 letters", `${"a".repeat(65)} = c.pem\n`, "ERR_RECIPIENTS_FILE", 1],
    ["an escape sequence in a path", "ok.pem\n\u001b[2Jx.pem\n", "ERR_RECIPIENTS_FILE", 2],
    ["a zero byte", "a\u0000.pem\n", "ERR_RECIPIENTS_FILE", 1],
    ["an escape sequence in a comment", "# \u001b[2J\n", "ERR_RECIPIENTS_FILE", 1],
    [
      "a PEM block without END",
      `${PEM.split("\n").slice(0, -1).join("\n")}\n`,
      "ERR_RECIPIENTS_FILE",
      1,
    ],
    ["a record without a key", "p11seal-oaep: sha1\n", "ERR_RECIPIENTS_FILE", 1],
    ["a damaged JWK", '\n{"kty":"EC"}\n', "ERR_JWK", 2],
    ["a damaged OpenSSH line", "# x\nalice = ssh-rsa AAAA\n", "ERR_TRUNCATED", 2],
    ["a private key", `\n${TEST_KEYS.p256}`, "ERR_PRIVATE_KEY_AS_RECIPIENT", 2],
    ["an age identity", "AGE-SECRET-KEY-1QQQQQQQQ\n", "ERR_PRIVATE_KEY_AS_RECIPIENT", 1],
    ["a damaged age recipient", `age1${"q".repeat(58)}\n`, "ERR_BECH32", 1],
    ["options before a key", `\nbob = no-pty ${line("p256", "ssh")}\n`, "ERR_SSH_KEY", 2],
    [
      "a certificate of OpenSSH",
      "ecdsa-sha2-nistp256-cert-v01@openssh.com AAAA x\n",
      "ERR_KEY_TYPE",
      1,
    ],
    ["a key of a name that can only sign", "bob = ssh-dss AAAA x\n", "ERR_KEY_TYPE", 1],
    ["a damaged key that can only sign", "#\nssh-ed25519 AAAA x\n", "ERR_TRUNCATED", 2],
    ["a name with a comment instead of a key", "bob = # later\n", "ERR_RECIPIENTS_FILE", 1],
    ["a record of another key", `p11seal-oaep: sha1\n${PEM}\n`, "ERR_OAEP_RECORD", 1],
    ["a line of more than 64 KiB", `# ${"x".repeat(65_536)}\n`, "ERR_RECIPIENTS_FILE", 1],
    [
      "a PEM block of more than 64 KiB",
      `-----BEGIN X-----\n${"A\n".repeat(40_000)}`,
      "ERR_RECIPIENTS_FILE",
      1,
    ],
  ])("%s", (_, text, code, at) => {
    const found = refusal(() => parse(text));
    expect(found.code).toBe(code);
    expect(found.text).toMatch(new RegExp(`^friends:${at}: `));
  });

  it("an age identity is not quoted", () => {
    expect(refusal(() => parse("AGE-SECRET-KEY-1QQQQQQQQ")).text).not.toContain("QQQQ");
  });

  it("more entries than a message can have", () => {
    const paths = (count: number) => "a.pem\n".repeat(count);
    expect(parse(paths(MAX_ENTRIES))).toHaveLength(MAX_ENTRIES);
    expect(codeOf(() => parse(paths(MAX_ENTRIES + 1)))).toBe("ERR_RECIPIENTS_FILE");
  });

  it("more than 16 MiB", () => {
    expect(codeOf(() => parse("\n".repeat(16 * 1024 * 1024 + 1)))).toBe("ERR_RECIPIENTS_FILE");
  });
});

describe("a recipients file", () => {
  it("of blanks and comments has no entries", () => {
    expect(parse("")).toEqual([]);
    expect(parse("\uFEFF# x\n\n   \n\t# y = z\r\n")).toEqual([]);
  });

  it("has every kind of entry, named and not, in order and with its line", () => {
    const text = [
      "# friends",
      line("rsa2048", "ssh", "sha1"),
      `bob = ${line("p256", "ssh")} bob@test.example`,
      line("p384", "jwk"),
      `carol@test.example   =\t${line("rsa3072", "jwk", "sha1")}`,
      "pkcs11:token=office;object=dave",
      "Dave = PKCS11:object=dave",
      "keys/erin = key.pem",
      "a=b.pem",
      "  erin   = keys/erin's key.pem  ",
      PEM,
      "",
      "frank =",
      line("rsa2048", "pem", "sha1"),
      "p11seal-oaep: sha1",
      publicPem(TEST_KEYS.rsa4096),
    ].filter((each) => each !== "keys/erin = key.pem");
    const entries = parse(text.join("\r\n")).map(shape);
    const pemLines = PEM.split("\n").length;
    const spki = (name: TestKeyName) => key(name).spki;
    expect(entries).toEqual([
      { at: 2, kind: "key", spki: spki("rsa2048"), oaep: "sha1" },
      { at: 3, name: "bob", kind: "key", spki: spki("p256") },
      { at: 4, kind: "key", spki: spki("p384") },
      { at: 5, name: "carol@test.example", kind: "key", spki: spki("rsa3072"), oaep: "sha1" },
      { at: 6, kind: "uri", text: "pkcs11:token=office;object=dave" },
      { at: 7, name: "Dave", kind: "uri", text: "PKCS11:object=dave" },
      { at: 8, kind: "path", text: "a=b.pem" },
      { at: 9, name: "erin", kind: "path", text: "keys/erin's key.pem" },
      { at: 10, kind: "key", spki: spki("p256") },
      { at: 11 + pemLines, name: "frank", kind: "key", spki: spki("rsa2048"), oaep: "sha1" },
      {
        at: 12 + pemLines + line("rsa2048", "pem", "sha1").split("\n").length,
        kind: "key",
        spki: spki("rsa4096"),
        oaep: "sha1",
      },
    ]);
  });

  it("may have comments after its entries", () => {
    const text = [
      "a.pem # x",
      "bob = keys/b.pem\t# the office",
      "pkcs11:token=a;object=b   #",
      `${line("p256", "jwk")} # {}?`,
      `carol = ${line("p256", "ssh")} # not ours`,
      "keys/#1.pem#2",
      "dave = # below",
      PEM,
    ];
    const spki = { spki: key("p256").spki };
    expect(parse(text.join("\n")).map(shape)).toMatchObject([
      { text: "a.pem" },
      { text: "keys/b.pem" },
      { text: "pkcs11:token=a;object=b" },
      spki,
      spki,
      { text: "keys/#1.pem#2" },
      { name: "dave", ...spki },
    ]);
  });

  it("leaves a JWK's strings alone", () => {
    const jwk = JSON.stringify({ ...JSON.parse(line("p256", "jwk")), kid: "a} # b" });
    expect(parse(jwk).map(shape)).toMatchObject([{ spki: key("p256").spki }]);
  });

  it("as a forge gives it out tells the keys that can only sign from the others", () => {
    const ed25519 = Buffer.from(formatPublicKey(testKey("ed25519"), "ssh")).toString();
    const signing = [
      ed25519.trim(),
      "sk-ssh-ed25519@openssh.com AAAA",
      "sk-ecdsa-sha2-nistp256@openssh.com AAAA x",
      "ssh-dss AAAA",
    ];
    const text = [...signing, line("p256", "ssh")].join("\n");
    expect(parse(text).map(shape)).toMatchObject([
      ...signing.map((one, index) => ({
        kind: "signs",
        at: index + 1,
        text: one.split(" ")[0],
      })),
      { spki: key("p256").spki },
    ]);
    // Whoever is named is meant to receive, and must not be left out.
    expect(parse(`bob = ${ed25519}`).map(shape)).toMatchObject([{ name: "bob", kind: "key" }]);
  });

  it("of exported PEM files, one after the other, has all of them", () => {
    const names = ["rsa2048", "p256", "x25519"] as const;
    const text = names
      .map((name) =>
        Buffer.from(
          formatPublicKey(key(name), "pem", { comment: name, signOnly: false }),
        ).toString(),
      )
      .join("");
    expect(parse(text).map((entry) => shape(entry)["spki"])).toEqual(
      names.map((name) => key(name).spki),
    );
  });

  it("of a name over an exported PEM file has that file's key under the name", () => {
    const pem = formatPublicKey(key("rsa2048"), "pem", { comment: "alice", oaep: "sha1" });
    const [entry, ...rest] = parse(`alice =\n\n${Buffer.from(pem).toString()}`).map(shape);
    expect(entry).toMatchObject({ name: "alice", at: 1, oaep: "sha1" });
    expect(rest).toEqual([]);
  });

  it("finds a name whatever the case of its letters", () => {
    const entries = parse("Alice = a.pem\nb.pem\n");
    expect(findByName(entries, "aLICE")).toMatchObject({ name: "Alice", path: "a.pem" });
    expect(findByName(entries, "b.pem")).toBeUndefined();
    expect(findByName(entries, "")).toBeUndefined();
  });

  it("of any text is read or refused with a code", () => {
    const pieces = fc.array(
      fc.oneof(
        fc.constantFrom(
          "\n",
          " = ",
          "alice",
          "pkcs11:",
          "-----BEGIN PUBLIC KEY-----\n",
          "-----END ",
          "{",
          "ssh-rsa ",
          "#",
          "p11seal-oaep: sha1\n",
          `${PEM}\n`,
        ),
        fc.string({ maxLength: 10 }),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(pieces, (parts) => {
        expect(codeOf(() => parse(parts.join("")))).toMatch(/^ERR_|^none$/);
      }),
      { numRuns: 500 },
    );
  });

  it("written from entries reads back as the same entries", () => {
    const entry = fc.record({
      name: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._@+-]{0,20}$/),
      value: fc.constantFrom("keys/a.pem", "a=b", "pkcs11:object=a", line("p256", "ssh")),
      blanks: fc.constantFrom(" ", "  ", "\t"),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(entry, { selector: ({ name }) => name.toLowerCase(), maxLength: 20 }),
        (wanted) => {
          const text = wanted.map(
            ({ name, value, blanks }) => `${name}${blanks}=${blanks}${value}\n`,
          );
          const entries = parse(text.join("# between\n"));
          expect(entries.map(({ name, line: at }) => ({ name, at }))).toEqual(
            wanted.map(({ name }, index) => ({ name, at: 2 * index + 1 })),
          );
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("recipientsText", () => {
  it.each(["utf16le", "\uFEFF"])("calls UTF-16 by its name (%j)", (how) => {
    const bytes = Buffer.from(`${how === "\uFEFF" ? how : ""}a = b.pem\n`, "utf16le");
    const found = refusal(() => recipientsText(new Uint8Array(bytes), "friends"));
    expect(found.code).toBe("ERR_RECIPIENTS_FILE");
    expect(found.text).toMatch(/^friends: text in UTF-16/);
  });
});

describe("parseRecipient", () => {
  it.each([
    ["pkcs11:token=a", "uri"],
    ["alice.pem", "path"],
    ["./ssh-rsa", "path"],
    ["ssh-rsa", "path"],
    ["age1.pem", "path"],
    ["C:\\keys\\a.pem", "path"],
    [line("p256", "ssh"), "key"],
    [line("p256", "jwk"), "key"],
  ])("%j is a %s", (text, kind) => {
    expect(parseRecipient(text, "-r", { now: NOW }).kind).toBe(kind);
  });
});

describe("names", () => {
  it.each(["a", "A1", "alice@example.org", "a.b_c+d-e", "0"])("%s is one", (name) => {
    expect(isRecipientName(name)).toBe(true);
  });

  it.each(["", "-a", ".a", "a b", "a/b", "a:b", "ä", "a\n", "a=b"])("%j is refused", (name) => {
    expect(isRecipientName(name)).toBe(false);
  });
});
