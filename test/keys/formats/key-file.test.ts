import { createPrivateKey, X509Certificate } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { formatPem } from "../../../src/asn1/pem.js";
import { ascii, concat, fromBase64, toHex } from "../../../src/bytes.js";
import type { EcPublicKey } from "../../../src/keys/key.js";
import {
  formatPublicKey,
  type KeyFile,
  MAX_KEY_FILE_BYTES,
  parsePublicKey,
  type PublicKeyFormat,
} from "../../../src/keys/formats/key-file.js";
import { OAEP_HASHES } from "../../../src/keys/formats/key-records.js";
import { rootAuthority, type Issuer } from "../../support/certificates.js";
import { publicDer, publicPem, TEST_KEYS, type TestKeyName } from "../../support/keys.js";
import {
  ALL_KEY_NAMES,
  codeOf,
  fixture,
  fixtureDer,
  fixtureText,
  refusal,
  testKey,
} from "../support.js";

const NOW = new Date("2027-01-01T00:00:00Z");
const FORMATS = ["pem", "der", "jwk", "ssh"] as const satisfies readonly PublicKeyFormat[];
const PEM = publicPem(TEST_KEYS.rsa2048);

function parse(file: Uint8Array | string, now = NOW): KeyFile {
  return parsePublicKey(typeof file === "string" ? ascii(file) : file, "key.pem", { now });
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}

function privateDer(name: TestKeyName, type: "pkcs8" | "pkcs1" | "sec1"): Buffer {
  return createPrivateKey(TEST_KEYS[name]).export({ format: "der", type } as never) as never;
}

describe("a private key as a recipient", () => {
  const privateFiles: [string, Uint8Array | string][] = [
    ...ALL_KEY_NAMES.map((name): [string, string] => [`PKCS#8 PEM, ${name}`, TEST_KEYS[name]]),
    ...ALL_KEY_NAMES.map((name): [string, Uint8Array] => [
      `PKCS#8 DER, ${name}`,
      privateDer(name, "pkcs8"),
    ]),
    ["PKCS#1 DER", privateDer("rsa2048", "pkcs1")],
    ["SEC 1 DER", privateDer("p256", "sec1")],
    ["encrypted PKCS#8 PEM", fixture("encrypted.private.pem")],
    ["encrypted PKCS#8 DER", fixtureDer("encrypted.private.pem")],
    ["PEM of openssl ecparam -genkey", fixture("ecparam.private.pem")],
    ["PEM with the old encryption", fixture("legacy-encrypted.private.pem")],
    ["OpenSSH's PEM", fixture("openssh.private.pem")],
    ["PKCS#12", fromBase64(fixtureText("p256.p12.base64"))],
    ["a public and a private key in one file", PEM + TEST_KEYS.p256],
  ];

  it.each(privateFiles)("%s is refused, and none of it quoted", (_, file) => {
    const { code, text } = refusal(() => parse(file));
    expect(code).toBe("ERR_PRIVATE_KEY_AS_RECIPIENT");
    expect(text).not.toMatch(/MI[GIE]|[A-Za-z0-9+/]{30}/);
  });
});

describe("a file that is no public key", () => {
  it.each([
    ["nothing", ""],
    ["blanks", " \n\n"],
    ["prose", "dear recipient,\n"],
    ["a signing request", fixture("p256.csr.pem")],
    [
      "a PGP key",
      "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n",
    ],
    [
      "curve parameters alone",
      "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
    ],
    ["text in UTF-16", new Uint8Array(Buffer.from(`\uFEFF${PEM}`, "utf16le"))],
    ["an empty SEQUENCE", Uint8Array.of(0x30, 0)],
    ["zeros", new Uint8Array(64)],
  ])("%s is refused by its form", (_, file) => {
    expect(codeOf(() => parse(file))).toMatch(/^ERR_(?:KEY_FORMAT|PEM)$/);
  });

  it("UTF-16, as PowerShell writes it, is called by its name", () => {
    const file = new Uint8Array(Buffer.from(`\uFEFF${PEM}`, "utf16le"));
    expect(refusal(() => parse(file)).text).toContain("UTF-16");
  });

  it("more than 64 KiB is refused unread", () => {
    const file = concat(ascii(PEM), new Uint8Array(MAX_KEY_FILE_BYTES).fill(0x0a));
    expect(codeOf(() => parse(file))).toBe("ERR_KEY_FILE_SIZE");
  });

  it("the file's name stands before the fact, and the class stays", () => {
    const { name, text } = refusal(() => parse(fixture("x448.spki.pem")));
    expect(name).toBe("UnsupportedError");
    expect(text).toMatch(/^key\.pem: /);
  });

  it("no bytes make it fail without a code", () => {
    const seeds = [PEM, fixtureText("rsa2048-enc.crt.pem"), fixtureText("p256.ssh")].map(ascii);
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds, ...ALL_KEY_NAMES.map((name) => publicDer(TEST_KEYS[name]))),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        fc.option(fc.nat()),
        (seed, at, value, cut) => {
          const changed = seed.slice(0, cut === null ? undefined : cut % seed.length);
          if (changed.length > 0) changed[at % changed.length] = value;
          expect(codeOf(() => parse(changed))).toMatch(/^ERR_|^none$/);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe("PEM", () => {
  const begin = "-----BEGIN PUBLIC KEY-----";
  const end = "-----END PUBLIC KEY-----";
  const body = PEM.split("\n").slice(1, -2);

  it.each([
    ["text after it", `${PEM}more\n`],
    ["two keys", PEM + PEM],
    ["no END line", [begin, ...body].join("\n")],
    ["another END line", PEM.replace(end, "-----END CERTIFICATE-----")],
    ["a blank in the base64", PEM.replace("A", " A")],
    ["a character cut off", `${PEM.replace(`\n${end}\n`, "").slice(0, -1)}\n${end}\n`],
    ["a foreign character", PEM.replace("M", "*")],
    ["a header", PEM.replace(begin, `${begin}\nComment: x\n`)],
    ["lower case in its label", PEM.replaceAll("PUBLIC KEY", "Public Key")],
    ["four dashes", PEM.replace(begin, "-----BEGIN PUBLIC KEY----")],
  ])("with %s is refused", (_, file) => {
    expect(codeOf(() => parse(file))).toBe("ERR_PEM");
  });

  it("a byte more inside the block is refused", () => {
    const der = concat(publicDer(TEST_KEYS.rsa2048), Uint8Array.of(0));
    const file = `${begin}\n${Buffer.from(der).toString("base64")}\n${end}\n`;
    expect(codeOf(() => parse(file))).toBe("ERR_TRAILING");
  });

  it("a compressed point under the label PUBLIC KEY is brought to the canonical form", () => {
    expect(parse(fixture("p384-compressed.spki.pem")).publicKey.spki).toEqual(testKey("p384").spki);
  });

  it.each([
    ["Windows line ends", PEM.replaceAll("\n", "\r\n")],
    ["no line end", PEM.trimEnd()],
    ["blank lines around", `\n\n${PEM}\n \n`],
    ["a byte order mark", `\uFEFF${PEM}`],
    ["text before it", `Key of Ålesund's office\n${PEM}`],
    ["one long line", `${begin}\n${body.join("")}\n${end}`],
    ["PKCS#1 inside", fixtureText("rsa2048.pkcs1.pem")],
  ])("with %s is read", (_, file) => {
    expect(parse(file).publicKey.spki).toEqual(testKey("rsa2048").spki);
  });

  it("PKCS#1 in DER is read", () => {
    expect(parse(fixtureDer("rsa2048.pkcs1.pem")).publicKey.spki).toEqual(testKey("rsa2048").spki);
  });
});

describe("the OAEP record", () => {
  it.each(OAEP_HASHES)("%s before the PEM block is read", (hash) => {
    expect(parse(`p11seal-oaep: ${hash}\n${PEM}`).oaep).toBe(hash);
  });

  it("a bare key has none", () => {
    expect(parse(PEM)).not.toHaveProperty("oaep");
  });

  it("before a certificate is read", () => {
    expect(parse(`p11seal-oaep: sha1\n${fixtureText("rsa2048-enc.crt.pem")}`).oaep).toBe("sha1");
  });

  it.each([
    ["an unknown hash", `p11seal-oaep: md5\n${PEM}`],
    ["nothing", `p11seal-oaep:\n${PEM}`],
    ["two records", `p11seal-oaep: sha1\np11seal-oaep: sha256\n${PEM}`],
    ["a record beside an EC key", `p11seal-oaep: sha1\n${publicPem(TEST_KEYS.p256)}`],
    [
      "an unknown hash in an OpenSSH comment",
      `${fixtureText("rsa2048.ssh").trim()} p11seal-oaep=md5`,
    ],
    ["a record in an EC key's comment", `${fixtureText("p256.ssh").trim()} p11seal-oaep=sha1`],
  ])("%s is refused", (_, file) => {
    expect(codeOf(() => parse(file))).toBe("ERR_OAEP_RECORD");
  });

  it("after the block it is text after the block", () => {
    expect(codeOf(() => parse(`${PEM}p11seal-oaep: sha1\n`))).toBe("ERR_PEM");
  });

  it("is not written beside a key that is not RSA", () => {
    for (const format of FORMATS) {
      expect(codeOf(() => formatPublicKey(testKey("p256"), format, { oaep: "sha1" }))).toBe(
        "ERR_OAEP_RECORD",
      );
    }
  });
});

describe("a certificate", () => {
  const certificate = fixtureText("rsa2048-enc.crt.pem");
  const { validFrom, validTo } = new X509Certificate(certificate);

  it.each([
    ["rsa2048-none", "rsa2048"],
    ["rsa2048-enc", "rsa2048"],
    ["rsa2048-text", "rsa2048"],
    ["p256-agree", "p256"],
    ["x25519-v1", "x25519"],
    ["ed25519-sig", "ed25519"],
  ] as const)("%s gives its key without a warning, in PEM and DER", (file, name) => {
    for (const bytes of [fixture(`${file}.crt.pem`), fixtureDer(`${file}.crt.pem`)]) {
      const { publicKey, warnings } = parse(bytes);
      expect(publicKey.spki).toEqual(testKey(name).spki);
      expect(warnings).toEqual([]);
    }
  });

  it.each([
    ["rsa2048-sig", "keyEncipherment"],
    ["p256-sig", "keyAgreement"],
  ])("%s warns that its key usage has no %s", (file, usage) => {
    const { warnings } = parse(fixture(`${file}.crt.pem`));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(usage);
  });

  it("warns before its first and after its last second, and not between", () => {
    const second = 1000;
    const from = new Date(validFrom).getTime();
    const to = new Date(validTo).getTime();
    const warned = [from - second, from, to, to + second].map(
      (time) => parse(certificate, new Date(time)).warnings.length,
    );
    expect(warned).toEqual([1, 0, 0, 1]);
    expect(parse(certificate, new Date(to + second)).warnings[0]).toMatch(
      /^certificate expired on \d{4}-\d\d-\d\d$/,
    );
  });

  it("cut at any byte is refused", () => {
    const der = fixtureDer("p256-agree.crt.pem");
    for (let length = 0; length < der.length; length++) {
      expect(codeOf(() => parse(der.subarray(0, length)))).toMatch(/^ERR_/);
    }
  });

  it("with a byte after it is refused", () => {
    const der = concat(fixtureDer("p256-agree.crt.pem"), Uint8Array.of(0));
    expect(codeOf(() => parse(der))).toBe("ERR_TRAILING");
  });

  const root = rootAuthority();
  const pemOf = (...issuers: readonly Issuer[]): string =>
    issuers.map((one) => formatPem("CERTIFICATE", one.certificate.der)).join("");

  it("with its chain is the first, and the others are kept", () => {
    const [ca, leaf] = [root.authority("CA"), root.issue()];
    const file = parse(pemOf(leaf, ca, root));
    expect(file.certificate?.der).toEqual(leaf.certificate.der);
    expect(file.publicKey.spki).toEqual(leaf.certificate.spki);
    expect(file.chain?.map(({ der }) => der)).toEqual([ca, root].map((one) => one.certificate.der));
    expect(parse(pemOf(leaf)).chain).toBeUndefined();
  });

  it.each([
    ["one of somebody else", pemOf(root.issue(), root.issue())],
    ["its issuer's before it", pemOf(root, root.issue())],
    ["the same twice", pemOf(root.issue({ serial: 1 }), root.issue({ serial: 1 }))],
  ])("with %s is refused, since only one would be the recipient", (_, file) => {
    expect(codeOf(() => parse(file))).toBe("ERR_PEM");
  });
});

describe("a key beside its certificate", () => {
  const certificate = fixtureText("rsa2048-sig.crt.pem");

  it.each([
    ["before it", PEM + certificate],
    ["after it", certificate + PEM],
  ])("is the key: %s", (_, file) => {
    const { publicKey, warnings } = parse(`p11seal-oaep: sha1\n${file}`);
    expect(publicKey.spki).toEqual(testKey("rsa2048").spki);
    expect(warnings).toHaveLength(1);
  });

  it("its records count once, whichever block they stand before", () => {
    expect(parse(`${certificate}p11seal-oaep: sha1\n${PEM}`).oaep).toBe("sha1");
    const twice = `p11seal-oaep: sha1\n${certificate}p11seal-oaep: sha1\n${PEM}`;
    expect(codeOf(() => parse(twice))).toBe("ERR_OAEP_RECORD");
  });

  it.each([
    ["of another key", publicPem(TEST_KEYS.p256) + certificate],
    ["with another key", PEM + PEM + certificate],
  ])("is refused: %s", (_, file) => {
    expect(codeOf(() => parse(file))).toBe("ERR_PEM");
  });

  it("a private key is refused, with the way to its certificate", () => {
    const { code, text } = refusal(() => parse(TEST_KEYS.rsa2048 + certificate));
    expect(code).toBe("ERR_PRIVATE_KEY_AS_RECIPIENT");
    expect(text).toContain("openssl x509");
  });
});

describe("JWK and OpenSSH files", () => {
  it("a JWK for signatures warns", () => {
    const jwk = { ...testKey("p256").object.export({ format: "jwk" }), use: "sig" };
    expect(parse(JSON.stringify(jwk)).warnings).toHaveLength(1);
  });

  it("a JWK over several lines is read", () => {
    const jwk = testKey("p256").object.export({ format: "jwk" });
    expect(parse(JSON.stringify(jwk, null, 2)).publicKey.spki).toEqual(testKey("p256").spki);
  });

  it("two OpenSSH lines are refused", () => {
    const text = fixtureText("p256.ssh") + fixtureText("p384.ssh");
    expect(codeOf(() => parse(text))).toBe("ERR_SSH_KEY");
  });
});

describe("formatPublicKey", () => {
  const comments = fc
    .string({ unit: "grapheme", maxLength: 40 })
    .map((text) => text.trim())
    .filter((text) => !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text) && !text.includes("p11seal-oaep"));

  it.each(ALL_KEY_NAMES)("what is written of %s reads back the same, in every form", (name) => {
    const key = testKey(name);
    const oaep =
      key.type === "rsa" ? fc.constantFrom(undefined, ...OAEP_HASHES) : fc.constant(undefined);
    const forms = FORMATS.filter((format) => format !== "ssh" || key.type !== "x25519");
    fc.assert(
      fc.property(fc.constantFrom(...forms), oaep, comments, (format, hash, comment) => {
        const options = hash === undefined ? { comment } : { oaep: hash, comment };
        const read = parse(formatPublicKey(key, format, options));
        expect(toHex(read.publicKey.spki)).toBe(toHex(key.spki));
        expect(read.oaep).toBe(format === "der" ? undefined : hash);
        expect(read.warnings).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it("PEM is what openssl writes, after the record", () => {
    const text = textOf(
      formatPublicKey(testKey("rsa2048"), "pem", { oaep: "sha1", comment: "alice" }),
    );
    expect(text).toBe(`# alice\np11seal-oaep: sha1\n${PEM}`);
  });

  it("text forms end with one line end, JWK and OpenSSH are one line", () => {
    for (const format of ["jwk", "ssh"] as const) {
      const text = textOf(formatPublicKey(testKey("rsa2048"), format, { oaep: "sha1" }));
      expect(text.indexOf("\n")).toBe(text.length - 1);
    }
  });

  it.each([
    "two\nlines",
    "carriage\rreturn",
    "\u001b[2J",
    "line\u2028separator",
    "p11seal-oaep=sha1",
  ])("a comment that could be more than a comment is refused: %j", (comment) => {
    for (const format of FORMATS) {
      expect(codeOf(() => formatPublicKey(testKey("rsa2048"), format, { comment }))).toBe(
        "ERR_COMMENT",
      );
    }
  });

  it("the DER given out is a copy", () => {
    const key = testKey("p256") as EcPublicKey;
    formatPublicKey(key, "der").fill(0);
    expect(key.spki[0]).toBe(0x30);
  });
});
