/** Sealing age files, and what other tools make of them: typage, and age itself where it is. */
import { spawnSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import { fromBareBase64 } from "../../../src/bytes.js";
import { inspectMessage, openMessage, sealMessage } from "../../../src/envelope/messages.js";
import { formatAgeRecipient } from "../../../src/keys/formats/age-keys.js";
import type { ExchangePublicKey, Identity } from "../../../src/keys/key.js";
import { Secret } from "../../../src/secret.js";
import { ageIdentities } from "../../../src/software/age-identities.js";
import { hpkeOpen } from "../../../src/wrap/hpke.js";
import { hybridIdentityOf } from "../../support/hybrid.js";
import { identityOf, recipientOf, senderOf } from "../../support/identities.js";
import { TEST_KEYS } from "../../support/keys.js";
import { codeOf } from "../../support/streams.js";
import { armor, Decrypter, Encrypter } from "../../support/typage.js";
import { describeIf } from "../../support/missing.js";

// The example of C2SP's "age".
const SECRET = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const SIZES = [0, 1, 65_536, 65_537, 200_000];
/** `content` of this length: matchers take seconds for bytes by the hundred thousand. */
function expectContent(bytes: Uint8Array, length: number): void {
  expect([bytes.length, Buffer.compare(bytes, content(length))]).toEqual([length, 0]);
}

const content = (length: number): Uint8Array => Uint8Array.from({ length }, (_, at) => at % 251);

async function sealed(
  plaintext: Uint8Array,
  ...keys: readonly ExchangePublicKey[]
): Promise<Uint8Array> {
  const recipients = keys.map((publicKey) => ({ publicKey }));
  return (await sealMessage(plaintext, { recipients, format: "age" })).stream().bytes();
}

async function opened(
  file: Uint8Array,
  ...identities: readonly Identity[]
): Promise<Uint8Array<ArrayBuffer>> {
  return (await openMessage(file, { identities })).plaintext.bytes();
}

describe("an age file that was sealed", () => {
  it("opens with each of its recipients' keys, whatever its size", async () => {
    const identities = [
      ...(["x25519", "p256", "rsa2048", "rsa4096"] as const).map((name) => identityOf(name)),
      ...(await ageIdentities(SECRET, "bob.txt")),
    ];
    for (const size of SIZES) {
      const plaintext = content(size);
      const file = await sealed(plaintext, ...identities.map(({ publicKey }) => publicKey));
      for (const identity of identities) expectContent(await opened(file, identity), size);
    }
  });

  it.each(["mlkem768-p256", "mlkem768-x25519"] as const)("opens with %s", async (kem) => {
    const identity = await hybridIdentityOf(kem);
    const file = await sealed(content(70_000), identity.publicKey);
    expectContent(await opened(file, identity), 70_000);
    const { recipients } = await inspectMessage(file);
    expect(recipients.map(({ type }) => type)).toEqual([
      kem === "mlkem768-p256" ? "mlkem768p256tag" : "mlkem768x25519",
    ]);
  });

  it("has a stanza for each key, once, and says how long its content is", async () => {
    const [p256, x25519] = [recipientOf("p256"), recipientOf("x25519")];
    const recipients = [p256, x25519, p256];
    const { header, body } = await sealMessage(content(70_000), { recipients, format: "age" });
    const info = await inspectMessage(header);
    expect(info.recipients.map(({ type }) => type)).toEqual(["p256tag", "X25519"]);
    expect(info.recipients.map((one) => one.matches(p256.publicKey))).toEqual([true, false]);
    const { length } = await body.bytes();
    expect([info.headerBytes, info.plaintextBytes(length)]).toEqual([header.length, 70_000]);
  });

  it("never has the same file key, share or nonce twice", async () => {
    const { publicKey } = identityOf("x25519");
    const files = await Promise.all([sealed(content(9), publicKey), sealed(content(9), publicKey)]);
    const [one, other] = files.map((file) => Buffer.from(file).toString("latin1").split("\n"));
    for (const line of [1, 2, 3, 4]) expect(one?.[line]).not.toBe(other?.[line]);
  });
});

describe("sealing an age file refuses", () => {
  const p256 = recipientOf("p256");
  const x25519 = recipientOf("x25519");
  it.each([
    ["nobody", { recipients: [] }, "ERR_NO_RECIPIENTS"],
    ["P-384", { recipients: [recipientOf("p384")] }, "ERR_KEY_TYPE"],
    ["P-521 beside others", { recipients: [x25519, recipientOf("p521")] }, "ERR_KEY_TYPE"],
    [
      "a token that undoes SHA-1 alone",
      { recipients: [recipientOf("rsa2048", "sha1")] },
      "ERR_OAEP_HASH",
    ],
    [
      "the same, told once",
      { recipients: [recipientOf("rsa2048", "sha1"), recipientOf("rsa2048")] },
      "ERR_OAEP_HASH",
    ],
    [
      "another OAEP hash",
      { recipients: [recipientOf("rsa2048")], oaep: "sha384" as const },
      "ERR_FORMAT_OPTION",
    ],
    ["a sender", { recipients: [p256], sender: senderOf("ed25519") }, "ERR_FORMAT_OPTION"],
    ["a segment size", { recipients: [p256], segLog2: 16 }, "ERR_FORMAT_OPTION"],
  ])("%s", async (_name, options, code) => {
    expect(await codeOf(sealMessage(content(1), { ...options, format: "age" }))).toBe(code);
  });

  it("a post-quantum recipient beside one that is not", async () => {
    const hybrid = { publicKey: (await hybridIdentityOf("mlkem768-p256")).publicKey };
    const both = { publicKey: (await hybridIdentityOf("mlkem768-x25519")).publicKey };
    const seal = (...recipients: { publicKey: ExchangePublicKey }[]) =>
      codeOf(sealMessage(content(1), { recipients, format: "age" }));
    expect(await seal(hybrid, p256)).toBe("ERR_MIXED_RECIPIENTS");
    expect(await seal(hybrid, both)).toBeUndefined();
  });

  it("a hybrid that age has no name for", async () => {
    const { publicKey } = await hybridIdentityOf("mlkem1024-p384");
    const recipients = [{ publicKey }];
    expect(await codeOf(sealMessage(content(1), { recipients, format: "age" }))).toBe(
      "ERR_KEY_TYPE",
    );
  });

  it("a format that nobody knows", async () => {
    const options = { recipients: [p256], format: "agf" };
    expect(await codeOf(sealMessage(content(1), options))).toBe("ERR_FORMAT_UNKNOWN");
  });
});

describe("with typage", () => {
  it.each(SIZES)("files of %i bytes go both ways, X25519", async (size) => {
    const [bob] = await ageIdentities(SECRET, "bob.txt");
    if (bob === undefined) throw new Error("no identity");
    const decrypter = new Decrypter();
    decrypter.addIdentity(SECRET);
    expectContent(await decrypter.decrypt(await sealed(content(size), bob.publicKey)), size);
    const encrypter = new Encrypter();
    encrypter.addRecipient(formatAgeRecipient(bob.publicKey));
    const file = await encrypter.encrypt(content(size));
    expectContent(await opened(file, bob), size);
    expectContent(await opened(Buffer.from(armor.encode(file)), bob), size);
  });

  it("files to a P-256 key and to a hybrid one open here", async () => {
    for (const identity of [identityOf("p256"), await hybridIdentityOf("mlkem768-p256")]) {
      const encrypter = new Encrypter();
      encrypter.addRecipient(formatAgeRecipient(identity.publicKey));
      expectContent(await opened(await encrypter.encrypt(content(70_000)), identity), 70_000);
    }
  });

  it("a file to a P-256 key opens there, once its stanza gave the file key", async () => {
    const identity = identityOf("p256");
    const decrypter = new Decrypter();
    decrypter.addIdentity({
      async unwrapFileKey(stanzas) {
        const [stanza] = stanzas;
        if (stanza === undefined) throw new Error("no stanza");
        const enc = fromBareBase64(stanza.args[2] ?? "");
        const { publicKey, agree } = await identity.unlock();
        if (publicKey.type !== "ec" || agree === undefined) throw new Error("not P-256");
        const info = Buffer.from("age-encryption.org/p256tag");
        const [ciphertext, aad] = [stanza.body, new Uint8Array(0)];
        const aead = "chacha20-poly1305";
        return hpkeOpen(publicKey, agree, { enc, ciphertext, info, aad, aead });
      },
    });
    const file = await sealed(content(70_000), identity.publicKey);
    expectContent(await decrypter.decrypt(file), 70_000);
  });

  it("a file with a passphrase opens here, with that passphrase alone", async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase("correct horse");
    encrypter.setScryptWorkFactor(10);
    const file = await encrypter.encrypt(content(9));
    const open = (passphrase?: string) =>
      openMessage(file, {
        identities: [identityOf("p256")],
        passphrase: () =>
          Promise.resolve(
            passphrase === undefined ? undefined : new Secret(Buffer.from(passphrase)),
          ),
      });
    const message = await open("correct horse");
    expect(message.identity).toBeUndefined();
    expectContent(await message.plaintext.bytes(), 9);
    expect(await codeOf(open("wrong"))).toBe("ERR_PASSPHRASE");
    expect(await codeOf(open())).toBe("ERR_NO_MATCH");
  });

  it("a passphrase that costs too much is not asked for", async () => {
    const encrypter = new Encrypter();
    encrypter.setPassphrase("x");
    encrypter.setScryptWorkFactor(10);
    const text = Buffer.from(await encrypter.encrypt(content(9))).toString("latin1");
    const dear = Buffer.from(text.replace(/^(-> scrypt \S+) 10$/m, "$1 19"), "latin1");
    let asked = 0;
    const opening = openMessage(dear, {
      identities: [],
      passphrase: () => {
        asked++;
        return Promise.resolve(undefined);
      },
    });
    expect([await codeOf(opening), asked]).toEqual(["ERR_WORK_FACTOR", 0]);
  });
});

const hasAge = spawnSync("age", ["--version"]).status === 0;

describeIf(hasAge, "age is not installed")("with age", () => {
  const folder = mkdtempSync(join(tmpdir(), "p11seal-age-"));
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const age = (args: readonly string[], input: Uint8Array): Uint8Array => {
    const { status, stdout, stderr } = spawnSync("age", args, { input, maxBuffer: 1e7 });
    if (status !== 0) throw new Error(stderr.toString());
    return new Uint8Array(stdout);
  };
  const bobFile = join(folder, "bob.txt");
  writeFileSync(bobFile, `${SECRET}\n`, { mode: 0o600 });
  const sshFile = join(folder, "rsa.pem");
  // age reads OpenSSH's files, and PKCS#1 in PEM.
  const pkcs1 = createPrivateKey(TEST_KEYS.rsa3072).export({ format: "pem", type: "pkcs1" });
  writeFileSync(sshFile, pkcs1, { mode: 0o600 });

  it.each(SIZES)("files of %i bytes go both ways: X25519 and ssh-rsa", async (size) => {
    const [bob] = await ageIdentities(SECRET, "bob.txt");
    const rsa = identityOf("rsa3072");
    if (bob === undefined) throw new Error("no identity");
    const plaintext = content(size);
    const file = await sealed(
      plaintext,
      bob.publicKey,
      rsa.publicKey,
      identityOf("p256").publicKey,
    );
    expectContent(age(["-d", "-i", bobFile], file), size);
    expectContent(age(["-d", "-i", sshFile], file), size);
    for (const identity of [bob, rsa]) {
      const args = ["-r", formatAgeRecipient(identity.publicKey)];
      expectContent(await opened(age(args, plaintext), identity), size);
      expectContent(await opened(age(["-a", ...args], plaintext), identity), size);
    }
  });

  it("reads the armour that seal makes", async () => {
    const [bob] = await ageIdentities(SECRET, "bob.txt");
    if (bob === undefined) throw new Error("no identity");
    const recipients = [{ publicKey: bob.publicKey }];
    for (const size of SIZES) {
      const message = await sealMessage(content(size), { recipients, format: "age" });
      const text = await message.armored().bytes();
      expect(Buffer.from(text.subarray(0, 35)).toString()).toBe(
        "-----BEGIN AGE ENCRYPTED FILE-----\n",
      );
      expectContent(age(["-d", "-i", bobFile], text), size);
    }
  });

  it("an identity of age-keygen's own opens what age sealed to it", async () => {
    const made = spawnSync("age-keygen", { encoding: "utf8" }).stdout;
    const [identity] = await ageIdentities(made, "made.txt");
    if (identity === undefined) throw new Error("no identity");
    expect(made).toContain(`# public key: ${formatAgeRecipient(identity.publicKey)}\n`);
  });
});

describe("an age file to an RSA key", () => {
  it("below 2,048 bits is not sealed", async () => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const { publicKeyFromFileSpki } = await import("../../../src/keys/public-key.js");
    const key = publicKeyFromFileSpki(publicKey.export({ format: "der", type: "spki" }));
    expect(await codeOf(sealed(content(1), key as ExchangePublicKey))).toBe("ERR_WEAK_KEY");
  });
});
