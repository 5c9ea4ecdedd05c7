/** CMS messages as they are written: opened by OpenSSL, and the same to the last byte of DER. */
import { execFileSync } from "node:child_process";
import { createPublicKey, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { toDer } from "../../../src/asn1/ber.js";
import { readAlgorithm } from "../../../src/asn1/algorithm-identifier.js";
import { DerReader, TAG } from "../../../src/asn1/der.js";
import { oidText } from "../../../src/asn1/oid.js";
import { formatPem } from "../../../src/asn1/pem.js";
import { sealBody } from "../../../src/body/body.js";
import { equal, toHex } from "../../../src/bytes.js";
import { CONTENT_TYPES } from "../../../src/envelope/cms/cms-oids.js";
import { cmsMessageId } from "../../../src/envelope/cms/message-id.js";
import { MAX_DER_CONTENT_BYTES, PIECE_BYTES } from "../../../src/envelope/cms/write-content.js";
import { beginSealing } from "../../../src/envelope/cms/write-enveloped.js";
import type { SealOptions } from "../../../src/envelope/seal-options.js";
import { parseCertifiedKey } from "../../../src/keys/formats/certified-key.js";
import type { Recipient } from "../../../src/keys/key.js";
import { requireExchange } from "../../../src/keys/recipient-strength.js";
import { softwareIdentity } from "../../../src/software/software-identity.js";
import { collect, Reader } from "../../../src/stream.js";
import { DAY_MS, extension, rootAuthority, type Issuer } from "../../support/certificates.js";
import { TEST_KEYS, testKeyPair, type TestKeyName } from "../../support/keys.js";
import { codeOf, inSteps } from "../../support/streams.js";

const NOW = new Date();
const root = rootAuthority("Root");
const issued = (name: TestKeyName, extensions?: readonly Uint8Array[]): Issuer =>
  root.issue({
    keys: testKeyPair(name),
    subject: { CN: name },
    notBeforeMs: NOW.getTime() - DAY_MS,
    notAfterMs: NOW.getTime() + DAY_MS,
    ...(extensions === undefined ? {} : { extensions }),
  });

/** The recipient with, or without, a certificate. */
function recipient(name: TestKeyName, isCertified = true, extensions?: Uint8Array[]): Recipient {
  const { der } = issued(name, extensions).certificate;
  const publicKey = requireExchange(parseCertifiedKey(der, NOW).publicKey);
  return isCertified ? { publicKey, certificate: der } : { publicKey };
}

async function sealed(content: Uint8Array, options: SealOptions): Promise<Uint8Array> {
  const { body, header } = beginSealing(options);
  expect(header).toHaveLength(0);
  return collect(sealBody(body, new Reader(inSteps(content, 50_000))));
}

interface Parsed {
  readonly messageType: string;
  readonly version: number;
  readonly recipientInfos: Uint8Array;
  readonly contentType: string;
  readonly algorithm: Uint8Array;
  readonly algorithmOid: string;
  /** Primitive, or constructed as `toDer` leaves it. */
  readonly contentTag: number | undefined;
  readonly mac: Uint8Array | undefined;
}

function parsed(message: Uint8Array): Parsed {
  const info = new DerReader(toDer(message, "message"), "message").sequence();
  const messageType = oidText(info.read(TAG.oid));
  const data = info.constructed(0xa0).sequence();
  const [version = -1] = data.read(TAG.integer);
  const recipientInfos = data.next(TAG.set);
  const content = data.sequence();
  const contentType = oidText(content.read(TAG.oid));
  const algorithm = content.next(TAG.sequence);
  const algorithmOid = readAlgorithm(new DerReader(algorithm, "algorithm")).oid;
  const contentTag = content.peek();
  content.skip();
  content.end();
  const mac = data.peek() === undefined ? undefined : data.read(TAG.octetString);
  data.end();
  const about = { messageType, version, recipientInfos, contentType, algorithm, algorithmOid };
  return { ...about, contentTag, mac };
}

/** Tags and versions of the RecipientInfos. */
function infosOf({ recipientInfos }: Parsed): string[] {
  const infos = new DerReader(recipientInfos, "recipients").constructed(TAG.set);
  const found: string[] = [];
  while (infos.peek() !== undefined) {
    const tag = infos.peek() as number;
    const [version] = infos.constructed(tag).read(TAG.integer);
    found.push(`${tag.toString(16)} v${version}`);
  }
  return found;
}

const OPTIONS: readonly (readonly [string, NonNullable<SealOptions["cms"]>, boolean])[] = [
  ["by issuer and serial number", {}, true],
  ["by key identifier", { byKeyId: true }, true],
  ["without a certificate", {}, false],
];
/** Empty, short, the longest in DER, one byte more, pieces that fill up, and one that does not. */
const LENGTHS = [
  0,
  1,
  1000,
  MAX_DER_CONTENT_BYTES,
  MAX_DER_CONTENT_BYTES + 1,
  32 * PIECE_BYTES,
  32 * PIECE_BYTES + 5,
];

describe("OpenSSL", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "cms-"));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  const opened = (name: TestKeyName, message: Uint8Array, more: readonly string[] = []): Buffer => {
    const at = (file: string): string => join(folder, file);
    writeFileSync(at("key"), TEST_KEYS[name]);
    writeFileSync(at("message"), message);
    const args = ["cms", "-decrypt", "-inform", "DER", "-in", at("message"), "-out", at("out")];
    execFileSync("openssl", [...args, "-inkey", at("key"), ...more], { stdio: "pipe" });
    return execFileSync("cat", [at("out")], { maxBuffer: 2 ** 30 });
  };

  describe.each(["rsa2048", "rsa4096", "p256", "p384", "p521"] as const)("with %s", (name) => {
    it.each(OPTIONS)("opens what is sealed to it %s", async (_name, cms, isCertified) => {
      const content = randomBytes(70_000);
      const recipients = [recipient("rsa3072"), recipient(name, isCertified), recipient("x25519")];
      const message = await sealed(content, { recipients, cms });
      expect(equal(opened(name, message), content)).toBe(true);
    });
  });

  it.each(LENGTHS)("opens %d bytes in both profiles", async (length) => {
    const content = randomBytes(length);
    for (const profile of ["windows", undefined] as const) {
      const recipients = [recipient("rsa2048")];
      const message = await sealed(content, { recipients, cms: { profile } });
      expect(equal(opened("rsa2048", message), content)).toBe(true);
      const isShort = length <= MAX_DER_CONTENT_BYTES;
      expect(equal(toDer(message, "message"), message)).toBe(isShort);
      expect(parsed(message).contentTag).toBe(isShort ? 0x80 : 0xa0);
    }
  });

  it.each(["sha1", "sha256", "sha384", "sha512"] as const)("undoes OAEP with %s", async (oaep) => {
    const recipients = [recipient("rsa2048")];
    const message = await sealed(randomBytes(10), { recipients, oaep });
    expect(opened("rsa2048", message)).toHaveLength(10);
    const recorded = await sealed(randomBytes(10), {
      recipients: [{ ...recipient("rsa2048"), oaep }],
    });
    expect(opened("rsa2048", recorded)).toHaveLength(10);
  });

  it("finds a recipient by the certificate, not by trying its key", async () => {
    const certificate = join(folder, "recipient");
    const extensions = [keyIdExtension("p256")];
    const { der } = issued("p256", extensions).certificate;
    writeFileSync(certificate, formatPem("CERTIFICATE", der));
    const publicKey = requireExchange(parseCertifiedKey(der, NOW).publicKey);
    for (const cms of [{}, { byKeyId: true }]) {
      const recipients = [{ publicKey, certificate: der }];
      const message = await sealed(randomBytes(10), { recipients, cms });
      expect(opened("p256", message, ["-recip", certificate])).toHaveLength(10);
    }
  });

  it.each([
    ["the content", undefined, undefined],
    ["the content, for windows", undefined, "windows"],
    ["a mail's part", { name: "report.pdf" }, undefined],
  ] as const)("finds a signed message inside, over %s", async (_name, smime, profile) => {
    const signer = issued("p384");
    const key = await softwareIdentity(Buffer.from(TEST_KEYS.p384), "p384").unlock();
    const content = randomBytes(200_000);
    const signedBy = { key, certificate: signer.certificate, signingTimeMs: NOW.getTime() };
    const message = await sealed(content, {
      recipients: [recipient("rsa2048")],
      cms: { signer: signedBy, smime, profile },
    });
    // Another type would need authenticated attributes.
    expect(parsed(message).contentType).toBe(CONTENT_TYPES.data);
    const at = (file: string): string => join(folder, file);
    writeFileSync(at("inner"), opened("rsa2048", message));
    writeFileSync(at("root"), formatPem("CERTIFICATE", root.certificate.der));
    const args = ["cms", "-verify", "-binary", "-in", at("inner"), "-CAfile", at("root")];
    const found = execFileSync("openssl", [...args, "-purpose", "any"], { stdio: "pipe" });
    const [header = "", base64 = ""] = found.toString("latin1").split("\r\n\r\n");
    if (smime !== undefined) expect(header).toContain('filename="report.pdf"');
    const body = smime === undefined ? found : Buffer.from(base64, "base64");
    expect(equal(body, content)).toBe(true);
  });
});

describe("a message", () => {
  it("is AuthEnvelopedData with a tag of 16 bytes, or EnvelopedData for windows", async () => {
    const recipients = [recipient("rsa2048")];
    const gcm = parsed(await sealed(randomBytes(10), { recipients }));
    expect(gcm).toMatchObject({ messageType: CONTENT_TYPES.authEnvelopedData, version: 0 });
    expect(gcm).toMatchObject({ contentType: CONTENT_TYPES.data });
    expect(gcm.mac).toHaveLength(16);
    // The length of the tag is stated: 12 would be its default.
    expect(toHex(gcm.algorithm)).toMatch(/^301e060960864801650304012e3011040c.{24}020110$/);

    const cms = { profile: "windows" } as const;
    const cbc = parsed(await sealed(randomBytes(10), { recipients, cms }));
    expect(cbc).toMatchObject({ messageType: CONTENT_TYPES.envelopedData, version: 0 });
    expect(cbc.algorithmOid).toBe("2.16.840.1.101.3.4.1.42");
    expect(cbc.mac).toBeUndefined();
  });

  it("has the versions that its recipients call for (RFC 5652 §6)", async () => {
    const recipients = [recipient("rsa2048"), recipient("rsa3072", false)];
    const windows = { profile: "windows" } as const;
    const mixed = parsed(await sealed(randomBytes(10), { recipients, cms: windows }));
    expect([mixed.version, infosOf(mixed).sort()]).toEqual([2, ["30 v0", "30 v2"]]);
    const auth = parsed(
      await sealed(randomBytes(10), { recipients: [...recipients, recipient("p256")] }),
    );
    expect([auth.version, infosOf(auth).sort()]).toEqual([0, ["30 v0", "30 v2", "a1 v3"]]);
  });

  it("names a key by its certificate's identifier, or by SHA-1 where there is none", async () => {
    const keyId = "0011223344";
    const own = extension("2.5.29.14", Buffer.from(`0405${keyId}`, "hex"));
    const cms = { byKeyId: true };
    const certified = recipient("p256", true, [own]);
    const named = parsed(await sealed(randomBytes(10), { recipients: [certified], cms }));
    expect(toHex(named.recipientInfos)).toContain(`a0070405${keyId}`);
    for (const plain of [recipient("p256", false), recipient("p256")]) {
      const guessed = parsed(await sealed(randomBytes(10), { recipients: [plain], cms }));
      expect(toHex(guessed.recipientInfos)).toContain(`a0160414${toHex(sha1KeyId("p256"))}`);
    }
  });

  it("is called by its recipients and its nonce, however it is written", async () => {
    const { body, messageId } = beginSealing({ recipients: [recipient("p256")] });
    const content = randomBytes(2 * MAX_DER_CONTENT_BYTES);
    const message = parsed(await collect(sealBody(body, new Reader(content))));
    expect(cmsMessageId(message.recipientInfos, message.algorithm)).toBe(messageId);
  });

  it("has a key of its own for every recipient, and other bytes each time", async () => {
    const recipients = [recipient("p256"), recipient("x25519")];
    const [a, b] = [
      await sealed(randomBytes(9), { recipients }),
      await sealed(randomBytes(9), { recipients }),
    ];
    expect(toHex(parsed(a).recipientInfos)).not.toBe(toHex(parsed(b).recipientInfos));
    expect(toHex(parsed(a).algorithm)).not.toBe(toHex(parsed(b).algorithm));
  });
});

describe("sealing refuses", () => {
  const refusal = (options: SealOptions): Promise<string | undefined> =>
    codeOf(Promise.resolve().then(() => beginSealing(options)));

  it("keys on curves for windows", async () => {
    const recipients = [recipient("rsa2048"), recipient("p256")];
    expect(await refusal({ recipients, cms: { profile: "windows" } })).toBe("ERR_KEY_TYPE");
  });

  it("a certificate of another key", async () => {
    const { publicKey } = recipient("p256");
    const { certificate } = recipient("p384");
    expect(await refusal({ recipients: [{ publicKey, certificate }] })).toBe("ERR_CERTIFICATE_KEY");
  });

  it("what only p11seal's own format has", async () => {
    const recipients = [recipient("p256")];
    const sender = {} as NonNullable<SealOptions["sender"]>;
    expect(await refusal({ recipients, sender })).toBe("ERR_FORMAT_OPTION");
    expect(await refusal({ recipients, segLog2: 18 })).toBe("ERR_FORMAT_OPTION");
    expect(await refusal({ recipients: [] })).toBe("ERR_NO_RECIPIENTS");
  });
});

function sha1KeyId(name: TestKeyName): Uint8Array {
  const der = createPublicKey(TEST_KEYS[name]).export({ format: "der", type: "spki" });
  const args = ["dgst", "-sha1", "-binary"];
  // The point of P-256, which stands at the end.
  return execFileSync("openssl", args, { input: der.subarray(-65) });
}

function keyIdExtension(name: TestKeyName): Uint8Array {
  const spki = new DerReader(
    new Uint8Array(createPublicKey(TEST_KEYS[name]).export({ format: "der", type: "spki" })),
    "key",
  ).sequence();
  spki.skip();
  const keyId = execFileSync("openssl", ["dgst", "-sha1", "-binary"], { input: spki.bitString() });
  return extension("2.5.29.14", Buffer.concat([Buffer.from([4, 20]), keyId]));
}
