/**
 * Rows about CMS: messages that OpenSSL encrypts to a certificate of the token's key, signatures of
 * the token that OpenSSL verifies, and how such a key comes by its certificate.
 */
import { spawnSync } from "node:child_process";
import { createPublicKey, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "@jest/globals";
import { openMessage } from "../../src/envelope/messages.js";
import { signMessage, verifyDetached } from "../../src/envelope/signatures.js";
import { certificateRequest } from "../../src/keys/certificate-request.js";
import type { PrivateKey, SigningPublicKey } from "../../src/keys/key.js";
import { parseUri } from "../../src/token/uri.js";
import type { KeyInfo, KeyType } from "../../src/token/values.js";
import { parseX509 } from "../../src/x509/certificate.js";
import type { KeyUsage } from "../../src/x509/extensions.js";
import { DAY_MS, keyUsage, pemOf, rootAuthority } from "../support/certificates.js";
import type { Bench } from "./bench.js";
import { hashesOf } from "./rows-files.js";
import { row, type Row } from "./row.js";

const CONTENT = new Uint8Array(randomBytes(20_000));

const TIMES = { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + DAY_MS };
const AUTHORITY = rootAuthority("Root", TIMES);

export const cmsRows: readonly Row[] = [
  row("cms-rsa-oaep", async (bench) => {
    const key = await bench.key("rsa:2048", "decrypt");
    for (const hash of hashesOf(bench, "decrypt")) {
      const padding = ["rsa_padding_mode:oaep", `rsa_oaep_md:${hash}`, `rsa_mgf1_md:${hash}`];
      await opens(bench, key, ["-aes-256-gcm"], padding);
    }
  }),

  row("cms-rsa-pkcs1", async (bench) => {
    const key = await bench.key("rsa:2048", "decrypt");
    await opens(bench, key, ["-aes-256-gcm"], []);
    await opens(bench, key, ["-aes-256-cbc"], []);
  }),

  ...(["p256", "p384"] as const).map((curve) =>
    row(`cms-${curve}`, async (bench) => {
      const key = await bench.key(`ec:${curve}`);
      for (const hash of ["sha1", "sha256", "sha512"]) {
        await opens(bench, key, ["-aes-256-gcm"], [`ecdh_kdf_md:${hash}`]);
      }
      const cofactor = ["ecdh_cofactor_mode:1", "ecdh_kdf_md:sha256"];
      await opens(bench, key, ["-aes-128-gcm"], cofactor);
    }),
  ),

  row("cms-sign-rsa", (bench) => signs(bench, "rsa:2048")),
  row("cms-sign-p256", (bench) => signs(bench, "ec:p256")),

  row("certificate-request", async (bench) => {
    const key = await bench.key("rsa:2048", "sign");
    const request = await certificateRequest(await signingKey(bench, key), { subject: "CN=Bob" }, [
      "sign",
    ]);
    withFolder((at) => {
      writeFileSync(at("request"), pemOf("CERTIFICATE REQUEST", request));
      openssl("req", "-verify", "-noout", "-in", at("request"));
    });
  }),

  row("certificate-stored", async (bench) => {
    const { id } = await bench.key("rsa:2048", "sign");
    const find = (): Promise<KeyInfo> => bench.door.findKey({ ...parseUri(bench.uri), id });
    const key = await find();
    const certificate = certificateOf(key, "digitalSignature");
    await bench.door.storeCertificate(key, certificate, "replace");
    await bench.reopen();
    expect((await find()).certificates).toContainEqual(certificate);
  }),
];

/** Has OpenSSL encrypt to a certificate of the key; opens that. */
async function opens(
  bench: Bench,
  key: KeyInfo,
  options: readonly string[],
  keyOptions: readonly string[],
): Promise<void> {
  const usage = key.publicKey?.type === "rsa" ? "keyEncipherment" : "keyAgreement";
  const certificate = certificateOf(key, usage);
  const message = withFolder((at) => {
    writeFileSync(at("certificate"), pemOf("CERTIFICATE", certificate));
    writeFileSync(at("plain"), CONTENT);
    const named = keyOptions.flatMap((one) => ["-keyopt", one]);
    const files = ["-in", at("plain"), "-outform", "DER", "-recip", at("certificate")];
    return openssl("cms", "-encrypt", "-binary", ...options, ...files, ...named);
  });
  const opened = await openMessage(message, {
    identities: [bench.door.identity(key)],
    certificates: () => Promise.resolve([certificate]),
    allows: { legacy: true, unauthenticated: true },
  });
  expect(Buffer.compare(await opened.plaintext.bytes(), CONTENT)).toBe(0);
}

/** Signs with the key; has OpenSSL verify that. */
async function signs(bench: Bench, type: KeyType): Promise<void> {
  const key = await bench.key(type, "sign");
  const certificate = parseX509(certificateOf(key, "digitalSignature"));
  const signer = {
    key: await signingKey(bench, key),
    certificate,
    signingTimeMs: Date.now(),
  };
  const signature = await signMessage(CONTENT, signer, { detached: true }).stream().bytes();
  const { signers } = await verifyDetached(signature, CONTENT);
  expect(signers.map(({ publicKey }) => publicKey.spki)).toEqual([certificate.spki]);
  withFolder((at) => {
    writeFileSync(at("root"), pemOf("CERTIFICATE", AUTHORITY.certificate.der));
    writeFileSync(at("signature"), signature);
    writeFileSync(at("content"), CONTENT);
    const files = ["-in", at("signature"), "-inform", "DER", "-content", at("content")];
    const trust = ["-CAfile", at("root"), "-purpose", "any", "-cades"];
    openssl("cms", "-verify", "-binary", ...files, ...trust, "-out", at("out"));
  });
}

function signingKey(bench: Bench, key: KeyInfo): Promise<PrivateKey<SigningPublicKey>> {
  return bench.door.identity(key, "sign").unlock();
}

/** A certificate of a key on the token, DER. */
function certificateOf({ publicKey }: KeyInfo, usage: KeyUsage): Uint8Array {
  if (publicKey === undefined) throw new Error("no public half");
  const object = createPublicKey({
    key: Buffer.from(publicKey.spki),
    ...{ format: "der", type: "spki" },
  });
  return AUTHORITY.certify(object, { ...TIMES, extensions: [keyUsage(usage)] }).der;
}

function openssl(...args: readonly string[]): Buffer {
  const { status, stdout, stderr } = spawnSync("openssl", args, { maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(stderr.toString());
  return stdout;
}

function withFolder<T>(work: (at: (name: string) => string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "p11seal-cms-"));
  try {
    return work((name) => join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
