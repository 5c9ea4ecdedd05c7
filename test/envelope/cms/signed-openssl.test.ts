/** Signed messages both ways with `openssl cms`: every kind of key but Ed25519, every form. */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import type { SigningPublicKey } from "../../../src/keys/key.js";
import { keyInSpki } from "../../../src/keys/public-key.js";
import { openSigned, signMessage, verifyDetached } from "../../../src/envelope/signatures.js";
import { softwareKey } from "../../../src/software/software-key.js";
import { collect } from "../../../src/stream.js";
import {
  extension,
  keyUsage,
  NOW_MS,
  pemOf,
  rootAuthority,
  type Issuer,
  type KeyPair,
} from "../../support/certificates.js";
import { der, TAG } from "../../../src/asn1/der.js";
import { inSteps } from "../../support/streams.js";

const folder = mkdtempSync(join(tmpdir(), "p11seal-signed-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const at = (name: string): string => join(folder, name);
const ROOT = rootAuthority("Root");
writeFileSync(at("root.pem"), pemOf("CERTIFICATE", ROOT.certificate.der));

/** RFC 5280 §4.2.1.2, of any bytes. */
const keyIdentifier = extension("2.5.29.14", der(TAG.octetString, randomBytes(20)));

const KINDS: Readonly<Record<string, KeyPair>> = {
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  p256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  p384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  p521: generateKeyPairSync("ec", { namedCurve: "P-521" }),
  ed25519: generateKeyPairSync("ed25519"),
};

const SIGNERS = new Map<string, Issuer>(
  Object.entries(KINDS).map(([kind, keys]) => {
    const extensions = [keyUsage("digitalSignature"), keyIdentifier];
    const signer = ROOT.issue({ subject: { CN: kind }, keys, extensions });
    writeFileSync(at(`${kind}.crt`), pemOf("CERTIFICATE", signer.certificate.der));
    writeFileSync(at(`${kind}.key`), keys.privateKey.export({ format: "pem", type: "pkcs8" }));
    return [kind, signer];
  }),
);

function signerOf(kind: string): Issuer {
  const signer = SIGNERS.get(kind);
  if (signer === undefined) throw new Error(kind);
  return signer;
}

function openssl(...args: readonly string[]): Buffer {
  const { status, stdout, stderr } = spawnSync("openssl", args, { maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(stderr.toString());
  return stdout;
}

/** Signs `content` with OpenSSL. */
function signedBy(kind: string, content: Uint8Array, ...args: readonly string[]): Buffer {
  writeFileSync(at("in"), content);
  const key = ["-signer", at(`${kind}.crt`), "-inkey", at(`${kind}.key`)];
  return openssl("cms", "-sign", "-in", at("in"), "-outform", "DER", ...key, ...args);
}

const OPAQUE = ["-binary", "-nodetach"];
const CONTENT = randomBytes(100_000);

async function verify(message: Uint8Array) {
  const opened = await openSigned(inSteps(message, 5000));
  const content = await opened.content.bytes();
  return { content, ...(await opened.signatures()) };
}

describe("what OpenSSL signs holds", () => {
  it.each([
    ["rsa", "RSA SHA-256", []],
    ["rsa", "RSA SHA-512", ["-md", "sha512"]],
    ["rsa", "RSA-PSS SHA-256", ["-keyopt", "rsa_padding_mode:pss"]],
    [
      "rsa",
      "RSA-PSS SHA-384",
      ["-md", "sha384", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:20"],
    ],
    ["p256", "ECDSA SHA-256", []],
    ["p384", "ECDSA SHA-384", ["-md", "sha384"]],
    ["p521", "ECDSA SHA-512", ["-md", "sha512"]],
    ["p256", "ECDSA SHA-256", ["-keyid"]],
    ["p256", "ECDSA SHA-256", ["-stream"]],
    ["rsa", "RSA SHA-256", ["-stream", "-cades"]],
  ] as const)("%s, %s %j", async (kind, algorithm, args) => {
    const message = signedBy(kind, CONTENT, ...OPAQUE, ...args);
    const { content, signers } = await verify(message);
    expect(Buffer.from(content).equals(CONTENT)).toBe(true);
    expect(signers).toHaveLength(1);
    expect(signers[0]).toMatchObject({ algorithm, bound: args.join().includes("-cades") });
    expect(signers[0]?.signingTimeMs).toBeGreaterThan(Date.now() - 60_000);
    expect(signers[0]?.publicKey.spki).toEqual(signerOf(kind).certificate.spki);
  });

  it("with two signers", async () => {
    const first = ["-signer", at("p256.crt"), "-inkey", at("p256.key")];
    const { signers } = await verify(signedBy("rsa", CONTENT, ...OPAQUE, ...first));
    expect(signers.map(({ algorithm }) => algorithm).sort()).toEqual([
      "ECDSA SHA-256",
      "RSA SHA-256",
    ]);
  });

  it("apart from its content, as text with other line ends", async () => {
    const text = Buffer.from("one\ntwo\nthree\n");
    const canonical = await verifyDetached(signedBy("p256", text), text);
    expect(canonical.signers[0]?.lineEnds).toBe("crlf");
    const binary = await verifyDetached(signedBy("p256", text, "-binary"), () => text);
    expect(binary.signers[0]?.lineEnds).toBe("as-is");
  });

  it("as PEM", async () => {
    writeFileSync(at("in"), CONTENT);
    const key = ["-signer", at("rsa.crt"), "-inkey", at("rsa.key")];
    const pem = openssl("cms", "-sign", "-in", at("in"), "-outform", "PEM", ...OPAQUE, ...key);
    expect((await verify(pem)).signers).toHaveLength(1);
  });
});

describe("signed mails", () => {
  const mailBy = (content: Uint8Array, ...args: readonly string[]): string => {
    writeFileSync(at("in"), content);
    const key = ["-signer", at("p256.crt"), "-inkey", at("p256.key")];
    const mail = ["-outform", "SMIME", "-from", "Bob <bob@example.com>", "-subject", "s"];
    return openssl("cms", "-sign", "-in", at("in"), ...mail, ...key, ...args).toString("latin1");
  };
  const text = Buffer.from("one\ntwo\n");
  const latin1 = (mail: string): Buffer => Buffer.from(mail, "latin1");

  it("in two parts", async () => {
    const { content, signers } = await verify(latin1(mailBy(text, "-text")));
    expect(Buffer.from(content).toString()).toContain("one\r\ntwo\r\n");
    expect(signers[0]?.lineEnds).toBe("as-is");
  });

  it("in two parts, which have lost the CR of their line ends", async () => {
    const mail = mailBy(text, "-text").replaceAll("\r\n", "\n");
    expect((await verify(latin1(mail))).signers[0]?.lineEnds).toBe("crlf");
  });

  it("in two parts, altered", async () => {
    const mail = mailBy(text, "-text").replace("two", "six");
    await expect(verify(latin1(mail))).rejects.toMatchObject({ code: "ERR_CONTENT_MISMATCH" });
  });

  it.each(["sha-1", "md5", "sha-512", "nonsense"])("that say micalg=%s", async (micalg) => {
    const mail = mailBy(text, "-text");
    expect(mail).toContain('micalg="sha-256"');
    const other = mail.replace('micalg="sha-256"', `micalg="${micalg}"`);
    expect((await verify(latin1(other))).signers).toHaveLength(1);
  });

  it("of more than some MiB need the hash that they name", async () => {
    const long = Buffer.alloc(6 * 1024 * 1024, "0123456789abcdef0123456789abcd\n");
    const mail = mailBy(long, "-text", "-md", "sha384");
    expect((await verify(latin1(mail))).signers).toHaveLength(1);
    const other = mail.replace('micalg="sha-384"', 'micalg="sha-256"');
    await expect(verify(latin1(other))).rejects.toMatchObject({ code: "ERR_ATTRIBUTES" });
  });

  it("in one part", async () => {
    const mail = latin1(mailBy(text, "-nodetach"));
    const opened = await openSigned(mail);
    expect(opened.from).toEqual(["bob@example.com"]);
    expect(Buffer.from(await opened.content.bytes()).toString()).toBe("one\r\ntwo\r\n");
    expect((await opened.signatures()).signers).toHaveLength(1);
  });

  it("that are neither are no signed messages", async () => {
    const mail = Buffer.from("From: a@example.com\r\nSubject: x\r\n\r\nhello\r\n");
    await expect(verify(mail)).rejects.toMatchObject({ code: "ERR_NOT_SIGNED_DATA" });
  });
});

describe("what is signed here holds for OpenSSL", () => {
  const kinds = [
    ["rsa", false],
    ["rsa", true],
    ["p256", false],
    ["p384", false],
  ] as const;
  const lengths = [0, 5, 300_000] as const;

  it.each(kinds.flatMap((kind) => lengths.map((length) => [...kind, length] as const)))(
    "%s, PSS %s, %d bytes",
    async (kind, pss, length) => {
      const content = randomBytes(length);
      for (const detached of [false, true]) {
        const message = await collect(signed(kind, content, { pss, detached }));
        writeFileSync(at("message"), message);
        writeFileSync(at("content"), content);
        const out = openssl(
          ...["cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", at("message")],
          ...["-CAfile", at("root.pem"), "-purpose", "any", "-no_check_time"],
          ...(detached ? ["-content", at("content")] : []),
        );
        expect(out.equals(content)).toBe(true);
      }
    },
  );

  it("as PEM, and its own reader takes all kinds", async () => {
    for (const kind of ["rsa", "p256", "p384", "ed25519"]) {
      const signer = cmsSignerOf(kind);
      const pem = await signMessage(CONTENT, signer).armored().bytes();
      const { content, signers } = await verify(pem);
      expect(Buffer.from(content).equals(CONTENT)).toBe(true);
      expect(signers[0]).toMatchObject({ bound: true, signingTimeMs: NOW_MS });
      const alone = await signMessage(CONTENT, signer, { detached: true }).stream().bytes();
      expect((await verifyDetached(alone, CONTENT)).signers).toHaveLength(1);
    }
  });

  it("with the issuers' certificates in it", async () => {
    const chain = [ROOT.certificate];
    const message = await signMessage(CONTENT, { ...cmsSignerOf("p256"), chain })
      .stream()
      .bytes();
    const { certificates } = await verify(message);
    expect(
      certificates.map(({ der: one }) => Buffer.from(one)).sort((a, b) => Buffer.compare(a, b)),
    ).toEqual(
      [ROOT, signerOf("p256")]
        .map(({ certificate }) => Buffer.from(certificate.der))
        .sort((a, b) => Buffer.compare(a, b)),
    );
  });

  it("but not with a certificate of another key", () => {
    const { certificate } = signerOf("p384");
    expect(() => signMessage(CONTENT, { ...cmsSignerOf("p256"), certificate })).toThrow(
      expect.objectContaining({ code: "ERR_CERTIFICATE_KEY" }),
    );
  });

  function cmsSignerOf(kind: string) {
    const { certificate, keys } = signerOf(kind);
    const publicKey = keyInSpki(certificate.spki).publicKey as SigningPublicKey;
    return { key: softwareKey(keys.privateKey, publicKey), certificate, signingTimeMs: NOW_MS };
  }

  function signed(kind: string, content: Uint8Array, how: { pss: boolean; detached: boolean }) {
    const { pss, detached } = how;
    const signer = { ...cmsSignerOf(kind), ...(pss && { pss }) };
    return signMessage(inSteps(content, 70_000), signer, { detached }).stream();
  }
});
