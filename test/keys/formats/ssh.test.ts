import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { ascii, concat, fromHex, toBase64, u32 } from "../../../src/bytes.js";
import type { EcPublicKey, RsaPublicKey } from "../../../src/keys/key.js";
import { rsaNumbers } from "../../../src/keys/public-key.js";
import { formatSshLine, parseSshLine } from "../../../src/keys/formats/ssh.js";
import { codeOf, fixtureText, refusal, testKey } from "../support.js";

const p256 = (testKey("p256") as EcPublicKey).point;
const rsa = testKey("rsa2048") as RsaPublicKey;
const { modulus, exponent } = rsaNumbers(rsa);

function string(bytes: Uint8Array | string): Uint8Array {
  const content = typeof bytes === "string" ? ascii(bytes) : bytes;
  return concat(u32(content.length), content);
}

/** A line of that type, whose blob has these strings. */
function line(type: string, ...strings: (Uint8Array | string)[]): string {
  return `${type} ${toBase64(concat(...strings.map(string)))}`;
}

const zero = Uint8Array.of(0);
const signedModulus = concat(zero, modulus);

describe("an OpenSSH line that is refused", () => {
  const [type = "", base64 = ""] = fixtureText("p256.ssh").split(" ");

  it.each([
    ["nothing", ""],
    ["a type alone", "ssh-rsa"],
    ["options in front, as in authorized_keys", `no-pty ${type} ${base64}`],
    ["a line break inside", `${type}\n${base64}`],
    ["a second line", `${type} ${base64}\n${type} ${base64}`],
    ["base64 without its padding", `${type} ${base64.replace(/=+$/, "")}`],
    ["base64 with a character more", `${type} ${base64}A`],
    ["base64url characters", `${type} ${base64.slice(0, -2)}-_`],
    ["an unknown word as type", `rsa ${base64}`],
    ["a blob of another type than the line", `ssh-rsa ${base64}`],
    ["a blob of another curve than the line", `ecdsa-sha2-nistp384 ${base64}`],
    ["a curve name that differs", line(type, type, "nistp384", p256)],
    ["no curve name", line(type, type, p256)],
    ["a modulus that is negative", line("ssh-rsa", "ssh-rsa", exponent, modulus)],
    [
      "a modulus with needless zeros",
      line("ssh-rsa", "ssh-rsa", exponent, concat(zero, signedModulus)),
    ],
    [
      "an exponent with needless zeros",
      line("ssh-rsa", "ssh-rsa", concat(zero, exponent), signedModulus),
    ],
    ["zero written as a byte", line("ssh-rsa", "ssh-rsa", zero, signedModulus)],
  ])("%s", (_, text) => {
    expect(codeOf(() => parseSshLine(text))).toBe("ERR_SSH_KEY");
  });

  it.each([
    [
      "a string that ends after the blob",
      `ssh-rsa ${toBase64(concat(string("ssh-rsa"), u32(5)))}`,
      "ERR_TRUNCATED",
    ],
    ["a length of 4 GiB", `ssh-rsa ${toBase64(fromHex("ffffffff"))}`, "ERR_TRUNCATED"],
    ["a string too many", line("ssh-rsa", "ssh-rsa", exponent, signedModulus, "x"), "ERR_TRAILING"],
    [
      "exponent and modulus swapped",
      line("ssh-rsa", "ssh-rsa", signedModulus, exponent),
      "ERR_KEY_SIZE",
    ],
    [
      "a compressed point",
      line(type, type, "nistp256", p256.slice(0, 33).fill(2, 0, 1)),
      "ERR_POINT",
    ],
    ["a point off the curve", line(type, type, "nistp256", p256.slice().fill(1, 40)), "ERR_POINT"],
    ["an empty point", line(type, type, "nistp256", ""), "ERR_POINT"],
    [
      "an Ed25519 key a byte short",
      line("ssh-ed25519", "ssh-ed25519", new Uint8Array(31)),
      "ERR_POINT",
    ],
  ])("%s: %#", (_, text, code) => {
    expect(codeOf(() => parseSshLine(text))).toBe(code);
  });

  it.each([
    "ssh-dss",
    "ssh-ed448",
    "ssh-rsa-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp224",
  ])("type %s, named", (unsupported) => {
    const { code, text } = refusal(() => parseSshLine(`${unsupported} ${base64}`));
    expect(code).toBe("ERR_KEY_TYPE");
    expect(text).toContain(unsupported);
  });

  it("any blob whatever, with a code and never another kind of error", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256"),
        fc.uint8Array({ maxLength: 80 }),
        (anyType, rest) => {
          const text = `${anyType} ${toBase64(concat(string(anyType), rest))}`;
          expect(codeOf(() => parseSshLine(text))).toMatch(/^ERR_/);
        },
      ),
    );
  });
});

describe("an OpenSSH line", () => {
  it.each(["rsa2048", "p256", "p384", "p521"] as const)(
    "of %s, by ssh-keygen, is read and written the same",
    (name) => {
      const text = fixtureText(`${name}.ssh`).trimEnd();
      const { publicKey, comment } = parseSshLine(text);
      expect(publicKey.spki).toEqual(testKey(name).spki);
      expect(comment).toBe(`${name}@test.example`);
      expect(formatSshLine(publicKey, comment)).toBe(text);
    },
  );

  it("of an Ed25519 key, by ssh-keygen, is read and written the same", () => {
    const text = fixtureText("ed25519.ssh").trimEnd();
    const { publicKey, comment } = parseSshLine(text);
    expect(publicKey.type).toBe("ed25519");
    expect(formatSshLine(publicKey, comment)).toBe(text);
  });

  it("may have tabs, and blanks in its comment", () => {
    const text = fixtureText("p256.ssh").split(" ").slice(0, 2).join("\t");
    expect(parseSshLine(`${text}\t two  words `).comment).toBe("two  words");
    expect(parseSshLine(text).comment).toBe("");
  });

  it("doesn't exist for X25519", () => {
    expect(codeOf(() => formatSshLine(testKey("x25519")))).toBe("ERR_KEY_FORMAT");
  });
});
