/**
 * The parsers of what people and other programs write: URIs, key files, recipients files, private
 * keys. Each gets thousands of damaged inputs.
 */
import { describe, expect, it } from "@jest/globals";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { ascii, concat, fromHex, toBase64 } from "../../src/bytes.js";
import { notAMessage } from "../../src/envelope/foreign.js";
import { parseRecipientsFile } from "../../src/records/directory/recipients-file.js";
import { P11SealError } from "../../src/errors.js";
import { formatPublicKey, parsePublicKey } from "../../src/keys/formats/key-file.js";
import { encodePublicKeyBlob } from "../../src/keys/formats/capi-blob.js";
import type { RsaPublicKey } from "../../src/keys/key.js";
import { parseOpenSshPrivate } from "../../src/keys/formats/openssh-private.js";
import { publicKeyFromSpki, rsaNumbers } from "../../src/keys/public-key.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { formatUri, parseUri } from "../../src/token/uri.js";
import { HYBRID_KEMS, hybridIdentityOf } from "../support/hybrid.js";
import { publicDer, TEST_KEYS } from "../support/keys.js";
import { fuzz } from "../support/mutate.js";
import { scaled } from "../support/scale.js";

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

/** `true` for one of our errors that prints safely, or what is wrong with it. */
function refusal(error: unknown): Error | string {
  if (!(error instanceof P11SealError)) return `threw ${String(error)}`;
  const said = `${error.message} ${error.hint ?? ""}`;
  // Foreign text that reaches a terminal must not control it.
  // eslint-disable-next-line no-control-regex
  if (/[\x00-\x1f\x7f-\x9f]/.test(said)) return `says control characters: ${JSON.stringify(said)}`;
  return said.length > 1000 ? "says too much" : error;
}

const fixtures = join(dirname(fileURLToPath(import.meta.url)), "../keys/fixtures");
const keyFiles = readdirSync(fixtures)
  .filter((name) => /\.(?:pem|ssh)$/.test(name) && !name.includes("private"))
  .map((name) => new Uint8Array(readFileSync(join(fixtures, name))));
const now = new Date("2026-01-01T00:00:00Z");

describe("a damaged pkcs11: URI", () => {
  const seeds = [
    "pkcs11:token=office;object=alice;type=private",
    "pkcs11:token=My%20token;serial=0123456789abcdef;id=%01%02%ff;object=k%c3%a9y",
    "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project?module-path=/usr/lib/x.so&module-name=x",
    "pkcs11:library-version=2.6;library-manufacturer=a;library-description=b;slot-description=c",
    "pkcs11:object=a?pin-source=file:/run/pin&x-vendor=1",
    "pkcs11:x-vendor=a;token=b",
    "pkcs11:",
  ].map(ascii);

  it("is refused, or reads the same after it is written again", async () => {
    const report = await fuzz(seeds, scaled(200_000, 5000), 7512, (input) => {
      try {
        const uri = parseUri(latin1(input));
        const again = parseUri(formatUri(uri));
        return isDeepStrictEqual(again, uri) ? true : "reads otherwise";
      } catch (error) {
        return refusal(error);
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.size).toBeGreaterThan(3);
    expect(report.taken).toBeGreaterThan(report.tried / 50);
    expect(report.slowestMs).toBeLessThan(10_000);
  });

  it("never has its PIN repeated in the refusal", async () => {
    const withPin = [
      "pkcs11:token=office?pin-value=S3CR3T-99",
      "pkcs11:object=a;token=b?pin-source=x&pin-value=S3CR3T-99&x=y",
    ].map(ascii);
    const report = await fuzz(withPin, scaled(200_000, 5000), 99, (input) => {
      try {
        parseUri(latin1(input));
        return true;
      } catch (error) {
        const { message, hint = "" } = error as P11SealError;
        const whole = latin1(input).includes("pin-value=S3CR3T-99");
        return whole && /S3CR3T|R3T-99/.test(message + hint) ? "repeats the PIN" : refusal(error);
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.get("ERR_PIN_VALUE")).toBeGreaterThan(report.tried / 20);
  });
});

describe("a damaged key file", () => {
  it("is refused, or holds a key that reads back from its own export", async () => {
    const jwks = (["rsa2048", "p256", "p521", "x25519"] as const).map((name) =>
      formatPublicKey(publicKeyFromSpki(publicDer(TEST_KEYS[name])), "jwk"),
    );
    const ders = (["p384", "ed25519", "x25519"] as const).map((name) => publicDer(TEST_KEYS[name]));
    const hybrids = await Promise.all(
      HYBRID_KEMS.map(async (kem) => (await hybridIdentityOf(kem)).publicKey),
    );
    ders.push(...hybrids.map(({ spki }) => spki));
    const seeds = [
      ...keyFiles,
      ...jwks,
      ...ders,
      ...hybrids.map((key) => formatPublicKey(key, "pem")),
    ];
    const report = await fuzz(seeds, scaled(200_000, 5000), 5280, (input) => {
      try {
        const { publicKey } = parsePublicKey(input, "a file", { now });
        const again = parsePublicKey(formatPublicKey(publicKey, "pem"), "its export", { now });
        const same = Buffer.compare(again.publicKey.spki, publicKey.spki) === 0;
        return same ? true : "exports another key";
      } catch (error) {
        return refusal(error);
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.size).toBeGreaterThan(8);
    expect(report.taken).toBeGreaterThan(report.tried / 100);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 120_000);
});

describe("a damaged key in a form of Windows or .NET", () => {
  it("is refused, or holds a key that reads back from its own export", async () => {
    const key = publicKeyFromSpki(publicDer(TEST_KEYS.rsa2048)) as RsaPublicKey;
    const { modulus, exponent } = rsaNumbers(key);
    const blob = encodePublicKeyBlob({ use: "signature", publicKey: key });
    const words = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer);
    const cng = concat(ascii("RSA1"), words(2048, 3, 256, 0, 0), exponent, modulus);
    const ec = concat(ascii("ECK3"), words(48), publicDer(TEST_KEYS.p384).slice(-96));
    const xml = `<RSAKeyValue><Modulus>${toBase64(modulus)}</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>`;
    const strongName = concat(words(0x2400, 0x8004, blob.length), blob);
    const seeds = [strongName, cng, ec, ascii(xml), ascii(toBase64(cng)), ascii(toBase64(blob))];
    const report = await fuzz(seeds, scaled(200_000, 5000), 3275, (input) => {
      try {
        const { publicKey } = parsePublicKey(input, "a file", { now });
        const again = parsePublicKey(formatPublicKey(publicKey, "der"), "its export", { now });
        const same = Buffer.compare(again.publicKey.spki, publicKey.spki) === 0;
        return same ? true : "exports another key";
      } catch (error) {
        return refusal(error);
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.size).toBeGreaterThan(5);
    expect(report.taken).toBeGreaterThan(report.tried / 100);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 120_000);
});

describe("a damaged OpenSSH private key", () => {
  it("is refused, or is a key", async () => {
    const seeds = ["ed25519", "rsa", "encrypted"].map((name) => {
      const pem = readFileSync(join(fixtures, `openssh-${name}.private.pem`), "utf8");
      return new Uint8Array(Buffer.from(pem.replaceAll(/-----.*-----/g, ""), "base64"));
    });
    const report = await fuzz(seeds, scaled(100_000, 5000), 4253, (input) => {
      try {
        parseOpenSshPrivate(input);
        return true;
      } catch (error) {
        return refusal(error);
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.size).toBeGreaterThan(1);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 120_000);
});

describe("input that is no message", () => {
  it("is refused with a few printable words, whatever it is", async () => {
    const seeds = [
      fromHex("8b5031310d0a1a0a01011200"),
      fromHex("3082010006092a864886f70d010703a0"),
      fromHex("85010c03aabbccdd"),
      ascii('Content-Type: multipart/encrypted;\n protocol="application/pgp-encrypted"\n'),
      ascii(`eyJhbGciOiJ9.${"A".repeat(70)}.${"B".repeat(70)}.c.d`),
      ascii('{"protected":"eyJ","ciphertext":"abc"}'),
      new Uint8Array(Buffer.from("\ufeffage-encryption.org/v1\n", "utf16le")),
      ascii(`${"Content-Type: ".repeat(250)}\n<a:${"x".repeat(500)}`),
    ];
    const report = await fuzz(seeds, scaled(200_000, 5000), 9580, (input) => {
      return refusal(notAMessage(input));
    });
    expect(report.broken).toEqual([]);
    expect(report.slowestMs).toBeLessThan(1000);
  }, 120_000);
});

describe("a damaged recipients file", () => {
  it("is refused with its line, or read", async () => {
    const ssh = Buffer.from(
      formatPublicKey(publicKeyFromSpki(publicDer(TEST_KEYS.p256)), "ssh", { comment: "a@b" }),
    ).toString("utf8");
    const pem = Buffer.from(
      formatPublicKey(publicKeyFromSpki(publicDer(TEST_KEYS.x25519)), "pem"),
    ).toString("utf8");
    const jwk = Buffer.from(
      formatPublicKey(publicKeyFromSpki(publicDer(TEST_KEYS.p384)), "jwk"),
    ).toString("utf8");
    const file = [
      "# who gets mail",
      `alice = ${ssh.trim()}`,
      "bob   = keys/bob.pem",
      "carol = pkcs11:token=office;object=carol",
      jwk.trim().replaceAll("\n", ""),
      "",
      "dave =",
      pem,
      "other.pem",
    ].join("\n");
    const seeds = [file, "a.pem\n", `eve = ${ssh}`, `frank =\n${pem}`].map(ascii);
    const report = await fuzz(seeds, scaled(200_000, 5000), 1024, (input) => {
      try {
        parseRecipientsFile(latin1(input), "friends.txt", { now });
        return true;
      } catch (error) {
        const outcome = refusal(error);
        if (typeof outcome === "string") return outcome;
        return outcome.message.startsWith("friends.txt") ? outcome : `no line: ${outcome.message}`;
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.size).toBeGreaterThan(3);
    expect(report.taken).toBeGreaterThan(report.tried / 100);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 120_000);
});

describe("a damaged private key file", () => {
  it("is refused without a piece of the key in the refusal, or is a key", async () => {
    const seeds = Object.values(TEST_KEYS).map(ascii);
    const report = await fuzz(seeds, scaled(50_000, 2000), 5958, (input) => {
      try {
        softwareIdentity(input, "key.pem");
        return true;
      } catch (error) {
        const outcome = refusal(error);
        if (typeof outcome === "string") return outcome;
        const { message, hint = "" } = outcome as { message: string; hint?: string };
        const said = message + hint;
        const body = latin1(input).replaceAll(/-----[A-Z ]*-----/g, "");
        const quoted = said.match(/[A-Za-z0-9+/]{9,}/g)?.find((run) => body.includes(run));
        return quoted === undefined ? outcome : `quotes the key: ${quoted}`;
      }
    });
    expect(report.broken).toEqual([]);
    expect(report.codes.size).toBeGreaterThan(1);
    expect(report.slowestMs).toBeLessThan(10_000);
  }, 120_000);
});
