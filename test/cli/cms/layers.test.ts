/**
 * Messages by OpenSSL that are signed inside of encryption or around it, as mails and as files:
 * opened under `--from`, and only then when the sender is the one asked for.
 */
import { randomBytes } from "node:crypto";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { DerReader, TAG } from "../../../src/asn1/der.js";
import { derOid } from "../../../src/asn1/oid.js";
import type { Holder } from "../../support/cms-peers/holders.js";
import { OpenSslProgram } from "../../support/cms-peers/openssl.js";
import { type Encryption, PRESENT_PEERS } from "../../support/cms-peers/peer.js";
import { CmsBench } from "./bench.js";

const bench = new CmsBench();
const { holders } = bench;
const bob = holders.of("p256");
const alice = holders.of("rsa");

const GCM: Encryption = {
  form: "auth-enveloped",
  recipient: "rsa-oaep-sha256",
  cipher: "aes-256-gcm",
};
const CBC: Encryption = { ...GCM, form: "enveloped", cipher: "aes-256-cbc" };

const MAIL = ["-outform", "SMIME"];
/** The content is not a file. */
const AUTH_ENVELOPED = ["-econtent_type", "1.2.840.113549.1.9.16.1.23"];

/** How a message gets from its content to what is sent. */
type Making = (by: OpenSslProgram, content: Uint8Array) => Promise<Buffer>;

const MESSAGES: Readonly<Record<string, Making>> = {
  "a mail: multipart/signed": (by, content) => by.sign("detached", bob, content, MAIL),
  "a mail: signed-data": (by, content) => by.sign("opaque", bob, content, MAIL),
  "a mail: multipart/signed in AES-GCM": async (by, content) =>
    by.encrypt(GCM, alice, await by.sign("detached", bob, content, MAIL), MAIL),
  "a mail: signed-data in AES-GCM": async (by, content) =>
    by.encrypt(GCM, alice, await by.sign("opaque", bob, content, MAIL), MAIL),
  "a mail: multipart/signed in AES-CBC": async (by, content) =>
    by.encrypt(CBC, alice, await by.sign("detached", bob, content, MAIL), MAIL),
  "a mail: AES-GCM, signed": async (by, content) =>
    by.sign("opaque", bob, await by.encrypt(GCM, alice, content, MAIL), MAIL),
  "a mail: AES-GCM, in multipart/signed": async (by, content) =>
    by.sign("detached", bob, await by.encrypt(GCM, alice, content, MAIL), MAIL),
  "a file: signed": (by, content) => by.sign("opaque", bob, content),
  "a file: signed in AES-CBC": async (by, content) =>
    labelledSigned(await by.encrypt(CBC, alice, bare(await by.sign("opaque", bob, content)))),
  "a file: AES-GCM, signed": async (by, content) =>
    by.sign("opaque", bob, bare(await by.encrypt(GCM, alice, content)), AUTH_ENVELOPED),
};

beforeAll(async () => {
  for (const [name, { certificate }] of Object.entries({ alice, bob })) {
    const { status, stderr } = await bench.p11seal(["senders", "add", name, certificate]);
    expect({ status, stderr }).toMatchObject({ status: 0 });
  }
});

for (const peer of PRESENT_PEERS.filter(({ kind }) => kind === "openssl")) {
  describe(`by ${peer.name}`, () => {
    it.each(Object.entries(MESSAGES))("%s", async (title, make) => {
      const by = await bench.program(peer);
      if (!(by instanceof OpenSslProgram)) throw new Error(peer.kind);
      const content = title.startsWith("a mail") ? newMail() : randomBytes(40_000);
      const path = bench.file(".p7m", await make(by, content));
      const open = ["open", path, ...identity(alice)];
      await bench.refuses([...open, "--from", "alice"], /"ERR_SENDER/);
      expect(await bench.written(".out", [...open, "--from", "bob"])).toEqual(content);
      await bench.refuses([...open, "--from", "bob"], /"ERR_REPLAY/);
    });
  });
}

function identity({ key, certificate }: Holder): readonly string[] {
  return ["-i", key, "--cert", certificate];
}

/** Another one each time: the ledger knows a signature by what it is over. */
function newMail(): Buffer {
  const text = randomBytes(3000).toString("base64").replace(/.{64}/g, "$&\r\n");
  return Buffer.from(`Content-Type: text/plain\r\n\r\n${text}\r\n`);
}

/** The content of a ContentInfo in DER (RFC 5652 §3): where its type stands before it already. */
function bare(contentInfo: Buffer): Buffer {
  const fields = new DerReader(contentInfo, "what OpenSSL wrote").sequence();
  fields.read(TAG.oid);
  return Buffer.from(fields.read(0xa0));
}

/** With SignedData as the content's type: OpenSSL calls whatever it encrypts a file. */
function labelledSigned(message: Buffer): Buffer {
  const where = message.indexOf(derOid("1.2.840.113549.1.7.1"));
  expect(where).toBeGreaterThan(0);
  const labelled = Buffer.from(message);
  labelled.set(derOid("1.2.840.113549.1.7.2"), where);
  return labelled;
}
