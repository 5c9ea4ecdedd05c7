/** OpenSSH's own private key files: read if they are whole and not encrypted. */
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { ascii, concat, u32 } from "../../../src/bytes.js";
import { P11SealError } from "../../../src/errors.js";
import { parseOpenSshPrivate } from "../../../src/keys/formats/openssh-private.js";
import { formatPem, parsePem } from "../../../src/asn1/pem.js";
import { readPrivateKey } from "../../../src/keys/formats/private-file.js";
import { parseSshLine } from "../../../src/keys/formats/ssh.js";
import { TEST_KEYS, type TestKeyName } from "../../support/keys.js";
import { codeOf, fixture, fixtureDer, fixtureText, refusal, testKey } from "../support.js";

describe("a key that ssh-keygen made", () => {
  it.each(["openssh", "openssh-ed25519", "openssh-rsa"])("%s is read", (name) => {
    const { key, publicKey } = readPrivateKey(fixture(`${name}.private.pem`), "id");
    expect(publicKey.spki).toEqual(parseSshLine(fixtureText(`${name}.ssh`).trim()).publicKey.spki);
    expect(works(key)).toBe(true);
  });

  it("with a passphrase is told, with a command that ends in a key that is read", () => {
    const { code, text } = refusal(() => readPrivateKey(fixture(ENCRYPTED), "id"));
    expect(code).toBe("ERR_KEY_FORMAT");
    // Asked for PKCS#8, ssh-keygen leaves an Ed25519 key as it is, still encrypted.
    expect(text).toContain("ssh-keygen -p -N '' -f COPY");
  });
});

describe("a key in OpenSSH's form", () => {
  it.each(["rsa2048", "rsa4096", "p256", "p384", "p521", "ed25519"] as const)("%s", (name) => {
    const pem = formatPem("OPENSSH PRIVATE KEY", encoded(name));
    const { key, publicKey } = readPrivateKey(pem, "id");
    expect(publicKey.spki).toEqual(testKey(name).spki);
    expect(works(key)).toBe(true);
  });

  it("cut anywhere is refused", () => {
    const whole = encoded("p256");
    for (let length = 0; length < whole.length; length++) {
      expect(codeOf(() => parseOpenSshPrivate(whole.slice(0, length)))).toBe("ERR_PRIVATE_KEY");
    }
  });

  it.each(["ed25519", "p384", "rsa2048"] as const)(
    "%s with a byte changed is refused, or still the same key",
    (name) => {
      const whole = encoded(name);
      const step = name === "rsa2048" ? 7 : 1;
      for (let at = 0; at < whole.length; at += step) {
        const changed = whole.slice();
        changed[at] = (changed[at] as number) ^ 0x41;
        try {
          const key = parseOpenSshPrivate(changed);
          const spki = createPublicKey(key).export({ format: "der", type: "spki" });
          expect(Buffer.from(testKey(name).spki).equals(spki)).toBe(true);
          expect(works(key)).toBe(true);
        } catch (error) {
          if (!(error instanceof P11SealError)) throw error;
          expect(error.code).toMatch(/^ERR_(?:PRIVATE_KEY|KEY_TYPE|KEY_FORMAT)$/);
        }
      }
    },
  );

  it.each<[string, Parameters<typeof encoded>[1]]>([
    ["another key's public half", { open: publicBlob("p384") }],
    ["checks that differ", { checks: concat(u32(7), u32(8)) }],
    ["two keys", { count: 2 }],
    ["options without a passphrase", { options: ascii("x") }],
    ["padding of other bytes", { padding: (length) => new Uint8Array(length) }],
    ["a block of padding too much", { padding: (length) => counted(length + 8) }],
    ["bytes after its end", { after: Uint8Array.of(0) }],
  ])("with %s is refused", (_name, changes) => {
    expect(codeOf(() => parseOpenSshPrivate(encoded("p256", changes)))).toBe("ERR_PRIVATE_KEY");
  });

  it.each(["ssh-dss", "sk-ssh-ed25519@openssh.com"])("of type %s is told by its type", (type) => {
    const { code, text } = refusal(() => parseOpenSshPrivate(encoded("p256", { type })));
    expect([code, text.includes(type)]).toEqual(["ERR_KEY_TYPE", true]);
  });
});

const ENCRYPTED = "openssh-encrypted.private.pem";

function works(key: KeyObject): boolean {
  const hash = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  return verify(hash, ascii("x"), createPublicKey(key), sign(hash, ascii("x"), key));
}

// ── A writer of its own ──

interface Changes {
  readonly type?: string;
  readonly open?: Uint8Array;
  readonly checks?: Uint8Array;
  readonly count?: number;
  readonly options?: Uint8Array;
  readonly padding?: (length: number) => Uint8Array;
  readonly after?: Uint8Array;
}

function encoded(name: TestKeyName, changes: Changes = {}): Uint8Array {
  const { checks = concat(u32(7), u32(7)), padding = counted } = changes;
  const { type, numbers } = numbersOf(name);
  const named = changes.type ?? type;
  const content = concat(checks, text(named), ...numbers.secret, text("a comment"));
  const section = concat(content, padding((8 - (content.length % 8)) % 8));
  const open = changes.open ?? concat(text(named), ...numbers.open);
  return concat(
    ...[ascii("openssh-key-v1\0"), text("none"), text("none"), field(changes.options ?? ascii(""))],
    ...[u32(changes.count ?? 1), field(open), field(section), changes.after ?? ascii("")],
  );
}

function publicBlob(name: TestKeyName): Uint8Array {
  const { type, numbers } = numbersOf(name);
  return concat(text(type), ...numbers.open);
}

function numbersOf(name: TestKeyName): {
  type: string;
  numbers: { secret: Uint8Array[]; open: Uint8Array[] };
} {
  const jwk = createPrivateKey(TEST_KEYS[name]).export({ format: "jwk" });
  const member = (one: "n" | "e" | "d" | "p" | "q" | "qi" | "x" | "y"): Uint8Array =>
    new Uint8Array(Buffer.from(jwk[one] as string, "base64url"));
  if (jwk.kty === "RSA") {
    const [n, e] = [mpint(member("n")), mpint(member("e"))];
    const secret = (["d", "qi", "p", "q"] as const).map((one) => mpint(member(one)));
    return { type: "ssh-rsa", numbers: { open: [e, n], secret: [n, e, ...secret] } };
  }
  if (jwk.kty === "OKP") {
    const point = field(member("x"));
    const secret = field(concat(member("d"), member("x")));
    return { type: "ssh-ed25519", numbers: { open: [point], secret: [point, secret] } };
  }
  const curve = `nistp${jwk.crv?.slice(2) ?? ""}`;
  const open = [text(curve), field(concat(Uint8Array.of(4), member("x"), member("y")))];
  const type = `ecdsa-sha2-${curve}`;
  return { type, numbers: { open, secret: [...open, mpint(member("d"))] } };
}

function field(bytes: Uint8Array): Uint8Array {
  return concat(u32(bytes.length), bytes);
}

function text(value: string): Uint8Array {
  return field(ascii(value));
}

function mpint(bytes: Uint8Array): Uint8Array {
  const start = bytes.findIndex((byte) => byte !== 0);
  const value = bytes.slice(start);
  return field((value[0] as number) < 0x80 ? value : concat(Uint8Array.of(0), value));
}

function counted(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => at + 1);
}

it("the writer here writes what ssh-keygen does", () => {
  const [block] = parsePem(fixtureText("openssh-ed25519.private.pem"));
  const bytes = fixtureDer("openssh-ed25519.private.pem");
  expect(block?.bytes).toEqual(bytes);
  expect(Buffer.from(bytes.slice(0, 39))).toEqual(Buffer.from(encoded("ed25519").slice(0, 39)));
});
