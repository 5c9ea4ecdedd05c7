import {
  constants,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  publicEncrypt,
} from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { ascii, concat, fromHex, toHex } from "../../src/bytes.js";
import type {
  PrivateKey,
  EcPublicKey,
  OaepHash,
  RsaPrivateKey,
  X25519PublicKey,
} from "../../src/keys/key.js";
import { der, TAG } from "../../src/asn1/der.js";
import { formatPem } from "../../src/asn1/pem.js";
import { needsPassphrase, readPrivateKey } from "../../src/keys/formats/private-file.js";
import { softwareIdentity } from "../../src/software/software-identity.js";
import { EXCHANGE_KEY_NAMES, publicPem, TEST_KEYS } from "../support/keys.js";
import { isCanonical } from "../support/edwards.mjs";
import { describeVectors, wycheproof } from "../support/vectors.js";
import { fixture, fixtureText, refusal, testKey } from "../keys/support.js";
import { agree, decryptOaep } from "../support/private-key.js";
import { isFull } from "../support/scale.js";

const DER = { format: "der", type: "pkcs8" } as const;
const FILE_KEY = new Uint8Array(32).fill(7);

async function rsa(pem: string): Promise<RsaPrivateKey> {
  return (await softwareIdentity(pem, "key.pem").unlock()) as RsaPrivateKey;
}

async function ec(pem: string): Promise<PrivateKey> {
  return softwareIdentity(pem, "key.pem").unlock();
}

function encrypt(pem: string, hash: OaepHash, label?: string): Uint8Array {
  const oaepLabel = label === undefined ? {} : { oaepLabel: Buffer.from(label) };
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return publicEncrypt(
    { key: createPublicKey(pem), padding, oaepHash: hash, ...oaepLabel },
    FILE_KEY,
  );
}

function exported(
  name: "rsa2048" | "p256",
  type: "pkcs1" | "sec1" | "pkcs8",
  encryption: { cipher?: string; passphrase?: string } = {},
): string {
  const key = createPrivateKey(TEST_KEYS[name]);
  return key.export({ format: "pem", type, ...encryption } as never) as unknown as string;
}

describe("a private key file that is refused", () => {
  it.each([
    ["nothing", ""],
    ["prose", "no key"],
    ["a public key", publicPem(TEST_KEYS.p256)],
    ["a certificate", fixtureText("p256-agree.crt.pem")],
    ["two private keys", TEST_KEYS.p256 + TEST_KEYS.p384],
    ["text after the key", `${TEST_KEYS.p256}more`],
    ["a key cut short", TEST_KEYS.p256.replace(/.{8}\n-----END/, "\n-----END")],
    ["a label that doesn't fit", TEST_KEYS.rsa2048.replaceAll("PRIVATE", "EC PRIVATE")],
    ["another that doesn't", TEST_KEYS.rsa2048.replaceAll("PRIVATE", "RSA PRIVATE")],
    ["more than 64 KiB", "x".repeat(65_537)],
  ])("%s", (_, pem) => {
    const { code, text } = refusal(() => softwareIdentity(pem, "key.pem"));
    expect(code).toBe("ERR_PRIVATE_KEY");
    expect(text).toMatch(/^key\.pem: /);
  });

  it.each([
    ["OpenSSH's own form, encrypted", fixture("openssh-encrypted.private.pem"), "ERR_KEY_FORMAT"],
    ["PEM's old encryption", fixture("legacy-encrypted.private.pem"), "ERR_KEY_FORMAT"],
    ["a key that can only sign", TEST_KEYS.ed25519, "ERR_SIGN_ONLY"],
  ])("%s: named", (_, pem, code) => {
    const found = refusal(() => softwareIdentity(pem, "key.pem", { passphrase: "test" }));
    expect([found.code, found.name]).toEqual([code, "UnsupportedError"]);
  });

  it.each([
    ["a public key", publicPem(TEST_KEYS.p256), "messages are sealed to a public key"],
    ["an OpenSSH line", fixtureText("p256.ssh"), "messages are sealed to a public key"],
    ["a certificate", fixtureText("p256-agree.crt.pem"), "messages are sealed to a public key"],
    ["a PKCS#12 file", Buffer.from(fixtureText("p256.p12.base64"), "base64"), "openssl pkcs12"],
    ["DER", createPrivateKey(TEST_KEYS.p256).export(DER), "-inform DER"],
    ["a PuTTY file", "PuTTY-User-Key-File-3: ssh-ed25519\n", "puttygen"],
    ["an age identity", "# x\nAGE-SECRET-KEY-1QQ\n", "age"],
    ["a JWK", '{"kty":"EC","d":"x"}', "PEM"],
    ["UTF-16", Buffer.from(TEST_KEYS.p256, "utf16le"), "UTF-16"],
    ["cosign's", blockOf("ENCRYPTED SIGSTORE PRIVATE KEY"), "cosign"],
    ["an OpenPGP key", blockOf("PGP PRIVATE KEY BLOCK"), "GnuPG"],
  ])("%s is called by its name, with a hint", (_, file, word) => {
    const bytes = typeof file === "string" ? ascii(file) : new Uint8Array(file);
    const { code, text } = refusal(() => softwareIdentity(bytes, "key.pem"));
    expect([code, text.includes(word)]).toEqual(["ERR_PRIVATE_KEY", true]);
  });

  it.each([
    ["2a864886f70d010503", "DES"],
    ["2a864886f70d010c0101", "RC4"],
    ["2a864886f70d010c0106", "RC2"],
    ["2b0e030207", "DES"],
    ["2a864886f70d0302", "RC2"],
    ["2b0e030206", "DES"],
    ["2b0e030209", "DES"],
    ["2a864886f70d0304", "RC4"],
    ["2a864886f70d0309", "RC5"],
    ["2b0601040197550102", "Blowfish"],
    ["2a864886f67d07420a", "CAST5"],
    ["2a864886f67d07420c", "CAST5"],
    ["2a831a8c9a440104", "SEED"],
    ["2b06010401813c07010102", "IDEA"],
  ])("PKCS#8 under the cipher %s is refused before a passphrase is asked for", (oid, cipher) => {
    const pem = formatPem("ENCRYPTED PRIVATE KEY", encryptedWith(oid));
    for (const read of [needsPassphrase, readPrivateKey]) {
      const { code, text } = refusal(() => read(pem, "key.pem"));
      expect([code, text.includes(`encryption with ${cipher}`)]).toEqual(["ERR_KEY_FORMAT", true]);
      expect(text).toContain("-provider legacy");
    }
  });

  it.each([
    ["cipher", "60864801650304012a", "60864801650304017f"],
    ["pseudo-random function", "2a864886f70d0209", "2a864886f70d027f"],
    ["key derivation", "2a864886f70d01050c", "2a864886f70d01057f"],
    ["scheme", "2a864886f70d01050d", "2a864886f70d01057f"],
  ])(
    "PKCS#8 under a %s that OpenSSL lacks is not taken for a wrong passphrase",
    (_, known, lacking) => {
      const key = createPrivateKey(TEST_KEYS.p256);
      const encrypted = key.export({ ...DER, cipher: "aes-256-cbc", passphrase: "right" });
      const changed = encrypted.toString("hex").replace(known, lacking);
      const pem = formatPem("ENCRYPTED PRIVATE KEY", fromHex(changed));
      const { code, text } = refusal(() => readPrivateKey(pem, "key.pem", "right"));
      expect([code, changed.includes(lacking)]).toEqual(["ERR_KEY_FORMAT", true]);
      expect(text).toContain("AES-256");
      const whole = formatPem("ENCRYPTED PRIVATE KEY", encrypted);
      expect(refusal(() => readPrivateKey(whole, "key.pem", "wrong")).code).toBe("ERR_PASSPHRASE");
    },
  );

  it("no message quotes the file, wherever it is damaged", () => {
    const lines = TEST_KEYS.p256.split("\n");
    for (let at = 0; at < TEST_KEYS.p256.length; at += 3) {
      const damaged = `${TEST_KEYS.p256.slice(0, at)}*${TEST_KEYS.p256.slice(at + 1)}`;
      const { code, text } = refusal(() => softwareIdentity(damaged, "key.pem"));
      expect(code).toMatch(/^ERR_/);
      for (const line of lines.slice(1, -2)) expect(text).not.toContain(line.slice(0, 12));
    }
  });
});

describe("a private key file that is read", () => {
  it.each(EXCHANGE_KEY_NAMES)("%s, as text and as bytes, has its public half", (name) => {
    const fromText = softwareIdentity(TEST_KEYS[name], "key.pem");
    const fromBytes = softwareIdentity(ascii(TEST_KEYS[name]), "key.pem");
    expect(fromText.publicKey.spki).toEqual(testKey(name).spki);
    expect(fromBytes.publicKey.spki).toEqual(testKey(name).spki);
    expect(fromText.name).toBe("key.pem");
  });

  it.each([
    ["PKCS#1", exported("rsa2048", "pkcs1"), "rsa2048"],
    ["SEC 1", exported("p256", "sec1"), "p256"],
  ] as const)("%s", (_, pem, name) => {
    expect(softwareIdentity(pem, "key.pem").publicKey.spki).toEqual(testKey(name).spki);
  });

  it("a key after its curve's name, as openssl ecparam -genkey writes it", () => {
    expect(softwareIdentity(fixture("ecparam.private.pem"), "key.pem").publicKey.type).toBe("ec");
  });

  it("a key in one file with certificates and parameters, before it and after it", () => {
    const certificate = fixtureText("p256-agree.crt.pem");
    const bag = `Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n`;
    const parameters = "-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n";
    const key = TEST_KEYS.p256;
    for (const pem of [
      key + certificate + certificate,
      certificate + key,
      bag + certificate + bag + key + parameters,
    ]) {
      expect(softwareIdentity(pem, "key.pem").publicKey.spki).toEqual(testKey("p256").spki);
    }
    expect(refusal(() => softwareIdentity(key + certificate + key, "key.pem")).code).toBe(
      "ERR_PRIVATE_KEY",
    );
  });

  it("a key that is too weak to be sealed to, so that old messages open", () => {
    const pem = createPrivateKey({
      key: { kty: "RSA", ...WEAK },
      format: "jwk",
    }).export({ format: "pem", type: "pkcs8" }) as string;
    expect(softwareIdentity(pem, "key.pem").publicKey).toMatchObject({ type: "rsa", bits: 1024 });
  });
});

describe("an encrypted private key", () => {
  const file = fixture("encrypted.private.pem");

  it("opens with its passphrase, as text and as bytes", () => {
    for (const passphrase of ["test", ascii("test")]) {
      const identity = softwareIdentity(file, "key.pem", { passphrase });
      expect(identity.publicKey.spki).toEqual(testKey("p256").spki);
    }
  });

  it.each([
    ["no passphrase", undefined],
    ["a wrong one", "Test"],
    ["an empty one", ""],
  ])("with %s is refused as a passphrase is, and the passphrase not quoted", (_, passphrase) => {
    const { code, name, text } = refusal(() => softwareIdentity(file, "key.pem", { passphrase }));
    expect([code, name]).toEqual(["ERR_PASSPHRASE", "TokenError"]);
    expect(text).not.toContain("Test");
  });

  it("is told from a plain one before anybody is asked", () => {
    expect(needsPassphrase(file, "key.pem")).toBe(true);
    expect(needsPassphrase(TEST_KEYS.p256, "key.pem")).toBe(false);
    expect(needsPassphrase(exported("p256", "sec1"), "key.pem")).toBe(false);
  });

  it("a plain key takes no notice of a passphrase", () => {
    expect(softwareIdentity(TEST_KEYS.p256, "key.pem", { passphrase: "x" }).publicKey.type).toBe(
      "ec",
    );
  });
});

describe("decryptOaep", () => {
  const pem = TEST_KEYS.rsa2048;

  it.each(["sha1", "sha256", "sha384", "sha512"] as const)(
    "%s: the file key comes back",
    async (hash) => {
      const secret = await decryptOaep(await rsa(pem), encrypt(pem, hash), hash);
      expect(toHex(secret?.expose() ?? new Uint8Array())).toBe(toHex(FILE_KEY));
    },
  );

  const ciphertext = encrypt(pem, "sha256");
  const faults: [string, Uint8Array][] = [
    ["another hash", encrypt(pem, "sha1")],
    ["a label", encrypt(pem, "sha256", "label")],
    ["another key", encrypt(TEST_KEYS.rsa3072, "sha256").subarray(0, 256)],
    ["nothing", new Uint8Array(0)],
    ["a byte short", ciphertext.subarray(0, -1)],
    ["a byte long", concat(ciphertext, Uint8Array.of(0))],
    ["a zero in front", concat(Uint8Array.of(0), ciphertext)],
    ["all zeros", new Uint8Array(256)],
    ["more than the modulus", new Uint8Array(256).fill(0xff)],
    ["a bit changed", ciphertext.slice().fill((ciphertext[100] as number) ^ 1, 100, 101)],
  ];

  it.each(faults)("%s gives null and nothing else", async (_, fault) => {
    expect(await decryptOaep(await rsa(pem), fault, "sha256")).toBeNull();
  });

  it("PKCS#1 v1.5 gives null", async () => {
    const key = createPublicKey(pem);
    const old = publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, FILE_KEY);
    for (const hash of (await rsa(pem)).oaep?.hashes ?? []) {
      expect(await decryptOaep(await rsa(pem), old, hash)).toBeNull();
    }
  });
});

describe("agree", () => {
  it.each(["p256", "p384", "p521", "x25519"] as const)(
    "%s: both sides have the same secret",
    async (name) => {
      const own = createPrivateKey(TEST_KEYS[name]);
      const jwk = own.export({ format: "jwk" });
      const peer = createPrivateKey(EPHEMERAL[name]);
      const expected = diffieHellman({ privateKey: peer, publicKey: createPublicKey(own) });
      const { publicKey } = softwareIdentity(EPHEMERAL[name], "peer.pem");
      const { point } = publicKey as EcPublicKey | X25519PublicKey;
      const secret = await agree(await ec(TEST_KEYS[name]), point);
      expect(toHex(secret?.expose() ?? new Uint8Array())).toBe(expected.toString("hex"));
      // As long as the field, including leading zeros.
      expect(secret?.length).toBe(Buffer.from(jwk.x ?? "", "base64url").length);
    },
  );

  it.each(["p256", "p384", "p521", "x25519"] as const)(
    "%s: a point that is none gives null",
    async (name) => {
      const { point } = testKey(name) as EcPublicKey | X25519PublicKey;
      const own = await ec(TEST_KEYS[name]);
      expect(await agree(own, point.subarray(1))).toBeNull();
      expect(await agree(own, new Uint8Array(0))).toBeNull();
      expect(await agree(own, new Uint8Array(point.length))).toBeNull();
    },
  );

  it("X25519: points of small order give null, never zeros", async () => {
    const own = await ec(TEST_KEYS.x25519);
    for (const hex of [
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]) {
      expect(await agree(own, fromHex(hex))).toBeNull();
    }
  });
});

describeVectors("Wycheproof, software keys", () => {
  interface OaepGroup {
    readonly privateKeyPem: string;
  }
  const oaepFiles = [
    [2048, "sha1"],
    [2048, "sha256"],
    [2048, "sha384"],
    [2048, "sha512"],
    [3072, "sha256"],
    [3072, "sha512"],
    [4096, "sha256"],
    [4096, "sha512"],
  ] as const;

  it.each(oaepFiles)(
    "RSA %i, OAEP %s: valid ciphertexts without a label decrypt, all others give null",
    async (bits, hash) => {
      const file = `rsa_oaep_${bits}_${hash}_mgf1${hash}`;
      interface OaepTest {
        readonly msg: string;
        readonly ct: string;
        readonly label: string;
      }
      let valid = 0;
      for (const { group, test } of wycheproof<OaepGroup, OaepTest>(file)) {
        const key = await rsa(group.privateKeyPem);
        const secret = await decryptOaep(key, fromHex(test.ct), hash);
        const expected = test.result === "valid" && test.label === "" ? test.msg : "null";
        const found = secret === null ? "null" : toHex(secret.expose());
        expect(`${test.tcId} ${found}`).toBe(`${test.tcId} ${expected}`);
        if (found !== "null") valid++;
      }
      expect(valid).toBeGreaterThan(0);
    },
  );

  interface Dh {
    readonly public: string;
    readonly private: string;
    readonly shared: string;
  }

  it.each([
    ["prime256v1", 32, "ecdh_secp256r1_ecpoint"],
    ["secp384r1", 48, "ecdh_secp384r1_ecpoint"],
    ["secp521r1", 66, "ecdh_secp521r1_ecpoint"],
  ] as const)("%s: valid points give the secret, all others null", async (curve, size, file) => {
    let valid = 0;
    for (const { test } of slowly(wycheproof<object, Dh>(file))) {
      if (test.result === "acceptable") continue;
      const key = await ec(ecPem(curve, size, test.private));
      const secret = await agree(key, fromHex(test.public));
      const wanted = test.result === "valid" && test.public.startsWith("04") ? test.shared : "null";
      const found = secret === null ? "null" : toHex(secret.expose());
      expect(`${test.tcId} ${found}`).toBe(`${test.tcId} ${wanted}`);
      if (found !== "null") valid++;
    }
    expect(valid).toBeGreaterThan(20);
  });

  it("X25519: the secrets are right; an all-zero one, or of no canonical point, is null", async () => {
    let valid = 0;
    for (const { test } of wycheproof<object, Dh>("x25519")) {
      const key = await ec(x25519Pem(test.private));
      const secret = await agree(key, fromHex(test.public));
      const zero = /^(?:00)+$/.test(test.shared) || !isCanonical(fromHex(test.public));
      const found = secret === null ? "null" : toHex(secret.expose());
      expect(`${test.tcId} ${found}`).toBe(`${test.tcId} ${zero ? "null" : test.shared}`);
      if (found !== "null") valid++;
    }
    expect(valid).toBeGreaterThan(20);
  });
});

/**
 * Every test that isn't plainly valid, and one in eight of the valid ones: on P-521 each takes 20
 * ms. All of them with `npm run test:slow`.
 */
function slowly<T extends { test: { result: string } }>(tests: T[]): T[] {
  if (isFull) return tests;
  return tests.filter(({ test }, index) => test.result !== "valid" || index % 8 === 0);
}

/** PKCS#8 of a scalar, without the public half. */
function ecPem(curve: keyof typeof CURVE_OIDS, size: number, scalarHex: string): string {
  const scalar = scalarHex.replace(/^(?:00)+/, "").padStart(2 * size, "0");
  const inner = tlv("30", `020101${tlv("04", scalar)}`);
  return pemOf(
    tlv("30", `020100${tlv("30", `06072a8648ce3d0201${CURVE_OIDS[curve]}`)}${tlv("04", inner)}`),
  );
}

function x25519Pem(scalarHex: string): string {
  return pemOf(`302e020100300506032b656e04220420${scalarHex}`);
}

function tlv(tag: string, content: string): string {
  const length = content.length / 2;
  const head = length < 0x80 ? "" : "81";
  return `${tag}${head}${length.toString(16).padStart(2, "0")}${content}`;
}

function pemOf(hex: string): string {
  const base64 = Buffer.from(hex, "hex").toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`;
}

const CURVE_OIDS = {
  prime256v1: "06082a8648ce3d030107",
  secp384r1: "06052b81040022",
  secp521r1: "06052b81040023",
} as const;

/** Peers with fixed scalars, so that nothing here depends on chance. */
const EPHEMERAL = {
  p256: ecPem("prime256v1", 32, "11".repeat(32)),
  p384: ecPem("secp384r1", 48, "22".repeat(48)),
  p521: ecPem("secp521r1", 66, `01${"33".repeat(65)}`),
  x25519: x25519Pem("44".repeat(32)),
} as const;

/** A throw-away TEST key of 1,024 bits. */
const WEAK = {
  n: "2UXnK9HRenmaYwckIIZ7jPbhuRQPIDOsxq23SGnT-NYJmF_tcvBh1MMZ9SnakBkEV1rinnDsokaOyG-_riZrY-uYx1mxREf3UHQS84owrBtM8bLTbv0F1kmelKSxKkHq9G-IKazyDr86e6iUrWU3Z5PodRgUS3quztOfPawjGEU",
  e: "AQAB",
  d: "z5iEyk-NkTIDGz9Fe3ZDMmrpPUc3NJNrL-HnT18eU5FeVaLCY6HeN8W6VY8J78iXZ0fFY5GN53b3EfgD80duLqWzHqmWJ8dBTfeeBxUwWCQS7EM1CGc3l0bByrYt8s3Ntlsu7DeTDKsszoY7lSApQb-A3wzN8EDxQnqUdhTTErk",
  p: "8L_xd6HtleFIBW-vn5hd4SbFqmH4VdKwzud6uCOy9sk9BHv7iN6XEf_sF8zichJyBm55Q-pAB7xgUHfQhnk4zw",
  q: "5wlBb0Yj_K0p3MSU-U6Sc19dnXjdaC7cIEDpRgrZfKFowYaeWIo034yps6ct2KrG9aCEgFed1q2zrbN0mVD6qw",
  dp: "0BPlnJN86BTNDb3JGfQz97xuDWQdofe2zy0sWOip7jhiH3UVIufXxDvgj3WKpjMhEEP9VWCqNMVwrTvRI9iz6w",
  dq: "XJsEJHML57MNLZWKVSfeYepe3sjcjm8CAteh6VZd-KvGDpREEh9LtDNwrjcblFZXq4rssXjtJmi3ta9R1EZ2Qw",
  qi: "Paoqsw0jfYgEJDu-jQYunhp0fRj46EhfaiQSvO7USe4onTJoutIyuqDTjCg60jew2D2pZbaWgAwbm_hDE7bthA",
};

function blockOf(label: string): string {
  return formatPem(label, new Uint8Array(32));
}

/**
 * EncryptedPrivateKeyInfo (RFC 5958 §3): one of PKCS#5's first schemes, or PBES2 with a cipher.
 */
function encryptedWith(oid: string): Uint8Array {
  const object = (hex: string): Uint8Array => der(TAG.oid, fromHex(hex));
  const nothing = der(TAG.sequence);
  const isScheme = oid.startsWith("2a864886f70d01") || oid === "2a864886f67d07420c";
  const pbes2 = der(TAG.sequence, nothing, der(TAG.sequence, object(oid)));
  const scheme = isScheme ? [object(oid), nothing] : [object("2a864886f70d01050d"), pbes2];
  const data = der(TAG.octetString, new Uint8Array(16));
  return der(TAG.sequence, der(TAG.sequence, ...scheme), data);
}
