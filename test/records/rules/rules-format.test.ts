import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { ascii, toBase64, toHex } from "../../../src/bytes.js";
import { P11SealError } from "../../../src/errors.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { spokenFingerprint } from "../../../src/records/directory/directory.js";
import {
  fingerprintOf,
  parseRules,
  type RulesText,
} from "../../../src/records/rules/rules-format.js";
import { publicDer, TEST_KEYS, type TestKeyName } from "../../support/keys.js";

const keyOf = (name: TestKeyName) => publicKeyFromSpki(publicDer(TEST_KEYS[name]));
const parsed = (text: string): RulesText => parseRules(ascii(text), "rules");
const named = (name: string, key: TestKeyName, more = "", kind = "recipient"): string =>
  `[[${kind}]]\nname = "${name}"\nfingerprint = "${spokenFingerprint(keyOf(key))}"\n${more}`;
const base64 = (key: TestKeyName): string => toBase64(keyOf(key).spki);

const WHOLE = `version = 3
root = true
enforce = true
${named("alice", "p256", `key = "${base64("p256")}"\nadded = "2026-01-31T00:00:00Z"\n`)}
${named("vault", "rsa3072")}
${named("carol", "ed25519", "", "sender")}
[[rule]]
paths = ["finance/**", "*.p11s"]
to = ["alice"]
always = ["VAULT"]
only = ["alice", "vault"]
signed = true
senders = ["carol"]
min_rsa = 3072
curves = ["P-256", "X25519"]
oaep = ["sha256"]
max_age = "30d"
`;

describe("a rules file", () => {
  it("says what it says", () => {
    const { rules, ...head } = parsed(WHOLE);
    expect(head).toEqual({ version: 3, root: true, enforce: true });
    expect(rules).toHaveLength(1);
    const [rule] = rules;
    expect(rule).toMatchObject({
      ...{ number: 1, signed: true, minRsaBits: 3072, maxAgeMs: 30 * 86_400_000 },
      ...{ curves: ["P-256", "X25519"], oaep: ["sha256"] },
      to: [{ name: "alice", addedMs: Date.UTC(2026, 0, 31) }],
      always: [{ name: "vault", fingerprint: toHex(keyOf("rsa3072").fingerprint) }],
      only: [{ name: "alice" }, { name: "vault" }],
      senders: [{ name: "carol" }],
    });
    expect(rule?.paths.map(({ text }) => text)).toEqual(["finance/**", "*.p11s"]);
  });

  it("may be empty", () => {
    expect(parsed("")).toEqual({ root: false, enforce: false, rules: [] });
  });

  const rule = (text: string): string =>
    `${named("alice", "p256")}[[rule]]\npaths = ["**"]\n${text}`;
  it.each([
    ["roots = true", 'rules: unknown key "roots"'],
    ["root = 1", "rules: root is neither true nor false"],
    ["version = 0", "rules: version is not a whole number from 1"],
    ["version = 1.5", "rules: version is not a whole number from 1"],
    ['version = "1"', "rules: version is not a whole number from 1"],
    ["root = true\nroot = true", "rules:2: not TOML"],
    ["rule = 1", "rules: rule is not a table in [[rule]]"],
    ["rule = [1]", "rules: rule 1: not a table"],
    ["[[rule]]\nalways = []", "rules: rule 1: it has no paths"],
    ['[[rule]]\npaths = ["**"]', "rules: rule 1: it demands nothing"],
    [rule("allways = ['alice']"), 'rules: rule 1: unknown key "allways"'],
    [rule("always = []"), "rules: rule 1: always is not a list of texts"],
    [rule("always = 'alice'"), "rules: rule 1: always is not a list of texts"],
    [rule("always = ['alice', 'alice']"), 'rules: rule 1: always has "alice" twice'],
    [
      rule("always = ['bob']"),
      'rules: rule 1: always names "bob", which no [[recipient]] is called',
    ],
    [
      rule("senders = ['alice']"),
      'rules: rule 1: senders names "alice", which no [[sender]] is called',
    ],
    [rule("min_rsa = 1024"), "rules: rule 1: min_rsa is not a whole number from 2048 to 8192"],
    [rule("curves = ['p256']"), 'rules: rule 1: curves has "p256"'],
    [rule("oaep = ['md5']"), 'rules: rule 1: oaep has "md5"'],
    [rule("max_age = 30"), "rules: rule 1: max_age is not text"],
    [rule("max_age = '30'"), 'rules: rule 1: max_age is not a length of time, such as "730d"'],
    [rule("signed = 'no'"), "rules: rule 1: signed is neither true nor false"],
    [rule("pin_source = 'cmd:id'"), 'rules: rule 1: unknown key "pin_source"'],
    ['[[rule]]\npaths = ["/x"]', 'rules: rule 1: the path "/x" is absolute'],
    [
      named("alice", "p256") + named("Alice", "p384"),
      'rules: recipient 2: the name "Alice" is there twice',
    ],
    [
      named("alice", "p256") + named("bob", "p256"),
      'rules: recipient 2: "bob" has the key of "alice"',
    ],
    ['[[recipient]]\nname = "alice"', 'rules: recipient 1: "alice" has no fingerprint'],
    ['[[recipient]]\nfingerprint = "00"', "rules: recipient 1: it has no name"],
    [
      '[[recipient]]\nname = "alice"\nfingerprint = "00"',
      'rules: recipient 1: the fingerprint of "alice" is not 64 hexadecimal digits',
    ],
    [
      named("alice", "p256", `key = "${base64("p384")}"`),
      'rules: recipient 1: the fingerprint of "alice" does not match its key',
    ],
    [
      named("alice", "p256", 'key = "pkcs11:token=x"'),
      "rules: recipient 1: key is not base64 of a public key",
    ],
    [named("a b", "p256"), "rules: recipient 1: name is not a name for a key"],
    [named("any", "ed25519", "", "sender"), "rules: sender 1: name is not a name for a key"],
    [named("alice", "p256", "file = 'x'"), 'rules: recipient 1: unknown key "file"'],
    [
      named("alice", "p256", "added = 'now'"),
      "rules: recipient 1: added is not a time such as 2027-01-31T12:00:00Z",
    ],
  ])("%j is refused", (text, message) => {
    expect(() => parsed(text)).toThrow(
      expect.objectContaining({ code: "ERR_RULES_FILE", message }),
    );
  });

  it("names no key that can't be what it is for", () => {
    const text = named("dora", "ed25519", `key = "${base64("ed25519")}"\n`);
    expect(() => parsed(text)).toThrow(expect.objectContaining({ code: "ERR_SIGN_ONLY" }));
  });

  it("that is not UTF-8 is refused with the line", () => {
    const bytes = Uint8Array.of(0x23, 0x0a, 0xff);
    expect(() => parseRules(bytes, "rules")).toThrow("rules:2: not UTF-8");
  });

  it("whatever stands in it, is read or refused with an error of ours", () => {
    const lines = WHOLE.split("\n");
    const damage = fc.record({
      at: fc.nat(WHOLE.length),
      drop: fc.nat(12),
      put: fc.oneof(
        fc.string({ maxLength: 8 }),
        fc.constantFrom(...lines, "[", "]]", "=", '"', "__proto__ = 1"),
      ),
    });
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (damages) => {
        let text = WHOLE;
        for (const { at, drop, put } of damages) {
          text = text.slice(0, at) + put + text.slice(at + drop);
        }
        try {
          expect(parsed(text)).toHaveProperty("rules");
        } catch (error) {
          if (!(error instanceof P11SealError)) throw error;
          expect(error.message).toMatch(/^rules/);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe("a fingerprint in rules", () => {
  const digits = "3f2a".repeat(16);
  it.each([digits, digits.toUpperCase(), `SHA256:${digits}`, "3f2a ".repeat(16).trim()])(
    "may be written %s",
    (text) => {
      expect(fingerprintOf(text)).toBe(digits);
    },
  );
  it.each(["", "SHA256:", digits.slice(1), `${digits}0`, `SHA1:${digits}`, `x${digits.slice(1)}`])(
    "is not %s",
    (text) => {
      expect(fingerprintOf(text)).toBeUndefined();
    },
  );
});
