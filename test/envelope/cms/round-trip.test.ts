/** CMS messages, sealed and opened by the library. */
import { createECDH, createPublicKey, randomBytes } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import { equal } from "../../../src/bytes.js";
import type { CmsSealOptions } from "../../../src/envelope/seal-options.js";
import {
  inspectMessage,
  matchesRecipient,
  openMessage,
  sealMessage,
  type Sealed,
} from "../../../src/envelope/messages.js";
import { parseCertifiedKey } from "../../../src/keys/formats/certified-key.js";
import type { Identity, Recipient } from "../../../src/keys/key.js";
import { publicKeyFromEcPoint } from "../../../src/keys/public-key.js";
import { requireExchange } from "../../../src/keys/recipient-strength.js";
import { softwareIdentity } from "../../../src/software/software-identity.js";
import { rootAuthority } from "../../support/certificates.js";
import {
  EXCHANGE_KEY_NAMES,
  TEST_KEYS,
  testKeyPair,
  type TestKeyName,
} from "../../support/keys.js";
import { fixtureDer } from "../../keys/support.js";
import { scaled } from "../../support/scale.js";
import { codeOf, DELIVERIES, readAll } from "../../support/streams.js";

const root = rootAuthority();

interface Party {
  readonly recipient: Recipient;
  readonly identity: Identity;
}

function party(name: TestKeyName): Party {
  const keys = testKeyPair(name);
  const { der } = root.issue({ keys, subject: { CN: name } }).certificate;
  const publicKey = requireExchange(parseCertifiedKey(der, new Date()).publicKey);
  const identity = softwareIdentity(Buffer.from(TEST_KEYS[name]), name);
  return {
    recipient: { publicKey, certificate: der },
    identity: { ...identity, unlock: () => identity.unlock(), certificates: [der] },
  };
}

const parties = new Map(EXCHANGE_KEY_NAMES.map((name) => [name, party(name)]));
const partyOf = (name: TestKeyName): Party => parties.get(name as "p256") as Party;

async function sealed(
  content: Uint8Array,
  names: readonly TestKeyName[],
  cms: CmsSealOptions = {},
): Promise<Uint8Array> {
  const recipients = names.map((name) => partyOf(name).recipient);
  return (await sealMessage(content, { recipients, format: "cms", cms })).stream().bytes();
}

describe("a message in CMS", () => {
  it("opens although a certificate beside the key can't be read", async () => {
    const { identity } = partyOf("p256");
    const { certificates = [] } = identity;
    const doubtful = {
      ...identity,
      unlock: () => identity.unlock(),
      certificates: [Uint8Array.of(0x30, 0), ...certificates],
    };
    const message = await sealed(Uint8Array.of(1, 2), ["p256"]);
    const opened = await openMessage(message, { identities: [doubtful] });
    expect(await opened.plaintext.bytes()).toEqual(Uint8Array.of(1, 2));
    // One that was given for this is refused.
    const given = (): Promise<Uint8Array[]> => Promise.resolve([Uint8Array.of(0x30, 0)]);
    const refused = openMessage(message, { identities: [identity], certificates: given });
    expect(await codeOf(refused)).toBe("ERR_CERTIFICATE");
  });

  it("opens with a certificate that has the key in another encoding", async () => {
    const spki = fixtureDer("p256-compressed.spki.pem");
    const publicKey = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    const keys = { ...testKeyPair("p256"), publicKey };
    const { certificate } = root.issue({ keys });
    expect(certificate.spki).toEqual(spki);
    const { identity, recipient } = partyOf("p256");
    const cms = { ...recipient, certificate: certificate.der };
    const message = await sealMessage(Uint8Array.of(1, 2), { recipients: [cms], format: "cms" });
    const compressed = {
      ...identity,
      unlock: () => identity.unlock(),
      certificates: [certificate.der],
    };
    const opened = await openMessage(message.stream(), { identities: [compressed] });
    expect(await opened.plaintext.bytes()).toEqual(Uint8Array.of(1, 2));
  });

  it.each(EXCHANGE_KEY_NAMES)("opens with %s, among all others", async (name) => {
    const content = randomBytes(1000);
    for (const byKeyId of [false, true]) {
      const message = await sealed(content, EXCHANGE_KEY_NAMES, { byKeyId });
      const opened = await openMessage(message, { identities: [partyOf(name).identity] });
      expect(equal(await opened.plaintext.bytes(), content)).toBe(true);
    }
  });

  it.each(DELIVERIES)("of many pieces opens, delivered %s", async (name, deliver) => {
    const content = randomBytes(name === "byte by byte" ? scaled(3 << 19, 3 << 16) : 3 << 19);
    const message = await sealed(content, ["p256"]);
    const { plaintext } = await openMessage(deliver(message), {
      identities: [partyOf("p256").identity],
    });
    expect(equal(await plaintext.bytes(), content)).toBe(true);
  });

  it("for windows opens for whoever puts up with that", async () => {
    const content = randomBytes(5000);
    const message = await sealed(content, ["rsa2048"], { profile: "windows" });
    const identities = [partyOf("rsa2048").identity];
    // A signature inside would do, so that the content has to be looked at.
    const refused = await openMessage(message, { identities });
    const { bytes, error } = await readAll(refused.plaintext);
    expect([bytes.length, error]).toMatchObject([0, { code: "ERR_UNAUTHENTICATED" }]);
    const allows = { unauthenticated: true };
    const { plaintext } = await openMessage(message, { identities, allows });
    expect(equal(await plaintext.bytes(), content)).toBe(true);
  });

  it("is inspected as it was sealed", async () => {
    const { recipient } = partyOf("p384");
    const other = partyOf("rsa3072").recipient;
    const message = await sealMessage(randomBytes(10), {
      recipients: [recipient, other],
      format: "cms",
      oaep: "sha384",
    });
    const info = await inspectMessage(await message.stream().bytes());
    expect(info).toMatchObject({ format: "cms", messageId: message.messageId });
    expect(info.recipients.map(({ type }) => type).sort()).toEqual(["ecdh", "rsa-oaep"]);
    expect(info.recipients.find(({ type }) => type === "rsa-oaep")?.oaep).toBe("sha384");
    expect(info).toMatchObject({ authenticated: true, cipher: "aes-256-gcm" });
    expect(matchesRecipient(info, partyOf("p521").recipient.publicKey)).toBe(false);
  });

  it.each(["p256", "rsa2048"] as const)("for %s opens with no bit altered", async (name) => {
    const message = await sealed(Buffer.from("hello\n"), [name]);
    const identities = [partyOf(name).identity];
    const opened = async (bytes: Uint8Array): Promise<string> => {
      const { plaintext } = await openMessage(bytes, { identities });
      return Buffer.from(await plaintext.bytes()).toString();
    };
    expect(await opened(message)).toBe("hello\n");
    for (const [index, byte] of message.entries()) {
      const bit = 1 << (index % 8);
      const altered = message.slice();
      altered[index] = byte ^ bit;
      const isLetterOfName = bit === 0x20 && /[A-Za-z]/.test(String.fromCharCode(byte));
      const code = await codeOf(opened(altered));
      // Names are alike in capitals (RFC 5280 §7.1), and nothing authenticates them.
      if (!isLetterOfName || code !== undefined)
        expect([index, code]).toEqual([index, expect.stringMatching(/^ERR_/)]);
    }
    for (const bytes of [Buffer.concat([message, Buffer.of(0)]), message.subarray(0, -1)]) {
      expect(await codeOf(opened(bytes))).toMatch(/^ERR_/);
    }
  });

  it("as PEM opens, too", async () => {
    const { recipient, identity } = partyOf("x25519");
    const message = await sealMessage(Buffer.from("hello"), {
      recipients: [recipient],
      format: "cms",
    });
    const text = await message.armored().bytes();
    expect(Buffer.from(text).toString()).toMatch(/^-----BEGIN CMS-----\n/);
    const { plaintext } = await openMessage(text, { identities: [identity] });
    expect(Buffer.from(await plaintext.bytes()).toString()).toBe("hello");
  });

  it("has room for 1,024 recipients, and no more", async () => {
    const many = Array.from({ length: 1024 }, () => {
      const ecdh = createECDH("prime256v1");
      return { publicKey: publicKeyFromEcPoint("P-256", new Uint8Array(ecdh.generateKeys())) };
    });
    const { recipient, identity } = partyOf("rsa2048");
    const seal = (recipients: readonly Recipient[]): Promise<Sealed> =>
      sealMessage(Buffer.from("x"), { recipients, format: "cms" });
    const message = await seal([...many.slice(1), recipient]);
    const opened = await openMessage(message.stream(), { identities: [identity] });
    expect(opened.info.recipients).toHaveLength(1024);
    expect(Buffer.from(await opened.plaintext.bytes()).toString()).toBe("x");
    expect(await codeOf(seal([...many, recipient]))).toBe("ERR_TOO_MANY_RECIPIENTS");
  });
});

describe("a mail", () => {
  it("is of messages in CMS only", async () => {
    const recipients = [partyOf("p256").recipient];
    const mail = async (format: string): Promise<Uint8Array> =>
      (await sealMessage(Buffer.from("x"), { recipients, format })).mail().bytes();
    expect(Buffer.from(await mail("cms")).toString()).toContain("smime-type=authEnveloped-data");
    expect(await codeOf(mail("p11seal"))).toBe("ERR_FORMAT_OPTION");
    expect(await codeOf(mail("age"))).toBe("ERR_FORMAT_OPTION");
  });
});

describe("options of CMS", () => {
  it.each(["p11seal", "age"])("are refused in the format %s", async (format) => {
    const recipients = [partyOf("p256").recipient];
    const sealing = sealMessage(Buffer.from("x"), { recipients, format, cms: {} });
    expect(await codeOf(sealing)).toBe("ERR_FORMAT_OPTION");
  });
});
