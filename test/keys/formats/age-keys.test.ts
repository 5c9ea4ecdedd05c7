import { describe, expect, it } from "@jest/globals";
import { bech32 } from "@scure/base";
import { ascii, toHex } from "../../../src/bytes.js";
import { P11SealError } from "../../../src/errors.js";
import {
  formatAgeRecipient,
  looksLikeAgeIdentities,
  parseAgeIdentities,
  parseAgeRecipient,
} from "../../../src/keys/formats/age-keys.js";
import { formatPublicKey, parsePublicKey } from "../../../src/keys/formats/key-file.js";
import { publicKeyFromSpki } from "../../../src/keys/public-key.js";
import { ageIdentities } from "../../../src/software/age-identities.js";
import { codeOf } from "../../support/streams.js";
import { publicDer, TEST_KEYS, type TestKeyName } from "../../support/keys.js";

// The examples of C2SP's "age".
const SECRET = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const TAGGED = "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e";

function refused(run: () => unknown): { code: string; text: string } {
  try {
    run();
  } catch (error) {
    if (!(error instanceof P11SealError)) throw error;
    return { code: error.code, text: `${error.message} ${error.hint ?? ""}` };
  }
  return { code: "not refused", text: "" };
}

function encoded(prefix: string, length: number, last = 0): string {
  const bytes = new Uint8Array(length);
  bytes[length - 1] = last;
  return bech32.encode(prefix, bech32.toWords(bytes), false);
}

const key = (name: TestKeyName) => publicKeyFromSpki(publicDer(TEST_KEYS[name]));

describe("an age recipient", () => {
  it.each([
    [RECIPIENT, "x25519"],
    [TAGGED, "ec"],
  ])("%s is a key, and the key is written so", (text, type) => {
    const publicKey = parseAgeRecipient(text);
    expect(publicKey.type).toBe(type);
    expect(formatAgeRecipient(publicKey)).toBe(text);
  });

  it.each<[TestKeyName, RegExp]>([
    ["x25519", /^age1[a-z0-9]{58}\n$/],
    ["p256", /^age1tag1[a-z0-9]{59}\n$/],
    ["rsa2048", /^ssh-rsa AAAA\S+\n$/],
  ])("of %s is a file of its own, and is read as the same key", (name, form) => {
    const file = formatPublicKey(key(name), "age");
    expect(Buffer.from(file).toString()).toMatch(form);
    const read = parsePublicKey(file, "r");
    expect(toHex(read.publicKey.spki)).toBe(toHex(key(name).spki));
  });

  it.each<TestKeyName>(["p384", "p521", "ed25519"])("there is none for %s", (name) => {
    expect(refused(() => formatPublicKey(key(name), "age")).code).toBe("ERR_KEY_TYPE");
  });

  it.each([
    ["a changed character", RECIPIENT.replace("zvkyg", "zvkyq"), "ERR_BECH32"],
    ["a missing character", RECIPIENT.slice(0, -1), "ERR_BECH32"],
    ["a point that is not on the curve", encoded("age1tag", 33, 5), "ERR_POINT"],
    ["a key of small order", encoded("age", 32), "ERR_WEAK_KEY"],
    ["a short key", encoded("age", 31, 9), "ERR_POINT"],
    ["an uncompressed point", encoded("age1tag", 65, 9), "ERR_KEY"],
    ["a plugin's", encoded("age1yubikey", 33, 9), "ERR_KEY_TYPE"],
    ["another prefix", encoded("agf", 32, 9), "ERR_KEY_TYPE"],
  ])("is refused: %s", (_name, text, code) => {
    expect(refused(() => parseAgeRecipient(text)).code).toBe(code);
  });

  it("may have comments beside it in its file", () => {
    const { publicKey } = parsePublicKey(ascii(`# bob's\r\n\r\n${RECIPIENT}\r\n`), "r");
    expect(publicKey.spki).toEqual(parseAgeRecipient(RECIPIENT).spki);
  });

  it("in upper case is not one", () => {
    expect(refused(() => parsePublicKey(ascii(RECIPIENT.toUpperCase()), "r")).code).toBe(
      "ERR_KEY_FORMAT",
    );
  });
});

describe("an age identity file", () => {
  it("has one key a line, each with its name", async () => {
    const text = `# created: today\r\n# public key: ${RECIPIENT}\r\n\r\n${SECRET}\r\n${SECRET}\r\n`;
    expect(looksLikeAgeIdentities(text)).toBe(true);
    const found = await ageIdentities(text, "keys.txt");
    expect(found.map(({ name }) => name)).toEqual(["keys.txt:4", "keys.txt:5"]);
    expect(found.map(({ publicKey }) => formatAgeRecipient(publicKey))).toEqual([
      ...[RECIPIENT, RECIPIENT],
    ]);
  });

  const SECRETS: [string, string, string][] = [
    ["a changed character", SECRET.replace("GFPQ4", "GFPP4"), "ERR_BECH32"],
    ["lower case", SECRET.toLowerCase(), "ERR_KEY_TYPE"],
    ["mixed case", SECRET.replace("GFPYY", "gfpyy"), "ERR_BECH32"],
    ["a short key", encoded("age-secret-key-", 31, 9).toUpperCase(), "ERR_KEY"],
    ["a plugin's", encoded("age-plugin-x-", 9, 9).toUpperCase(), "ERR_KEY_TYPE"],
    ["a recipient", RECIPIENT, "ERR_KEY_TYPE"],
  ];
  it.each(SECRETS)("is refused with its line, and not quoted: %s", (_name, secret, code) => {
    const refusal = refused(() => parseAgeIdentities(`${SECRET}\n${secret}\n`, "keys.txt"));
    expect(refusal.code).toBe(code);
    expect(refusal.text).toContain("keys.txt:2: ");
    expect(refusal.text.toLowerCase()).not.toContain(secret.slice(20, 32).toLowerCase());
  });

  it("without a key is refused", async () => {
    expect(await codeOf(ageIdentities("# nothing\n", "keys.txt"))).toBe("ERR_PRIVATE_KEY");
  });
});

describe("a file that is not age's", () => {
  it.each(["\n", "\r\n", " \n", "# note\r\n"])(
    "is passed over, however many such lines it has: %j",
    (line) => {
      // A pattern that tries every way to divide the blanks would never end.
      expect(looksLikeAgeIdentities(`${line.repeat(20_000)}pkcs11:token=alice\n`)).toBe(false);
      expect(looksLikeAgeIdentities(`${line.repeat(20_000)} AGE-SECRET-KEY-1`)).toBe(true);
    },
  );
});
