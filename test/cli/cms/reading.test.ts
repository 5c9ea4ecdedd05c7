/**
 * Encrypted messages that other programs write, opened: each form, and what is refused unless asked
 * for. Key and certificate lie in files, or the key on SoftHSM.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { beforeAll, expect, it } from "@jest/globals";
import { DerReader, TAG } from "../../../src/asn1/der.js";
import type { Holder, HolderKind } from "../../support/cms-peers/holders.js";
import {
  type Cipher,
  type CmsPeer,
  describePeers,
  type EnvelopeForm,
  PRESENT_PEERS,
} from "../../support/cms-peers/peer.js";
import { skipped } from "../../support/missing.js";
import { freshToken, importKey } from "../../support/softhsm.js";
import { CmsBench } from "./bench.js";

interface Message {
  readonly form: EnvelopeForm;
  readonly cipher: Cipher;
  readonly recipient: string;
  readonly to: HolderKind;
  /** Programs that can write it; those with a version in their name, from that version on. */
  readonly by: readonly string[];
  /** What `open` has to be told. It refuses without any of these. */
  readonly flags?: readonly string[];
}

const UNAUTHENTICATED = "--allow-unauthenticated";
const LEGACY = "--allow-legacy";
const gcm = (recipient: string, to: HolderKind, by: readonly string[]): Message => ({
  ...{ form: "auth-enveloped", cipher: "aes-256-gcm", recipient, to, by },
});
const cbc = (recipient: string, to: HolderKind, by: readonly string[]): Message => ({
  ...{ form: "enveloped", cipher: "aes-256-cbc", recipient, to, by },
  flags: [UNAUTHENTICATED],
});
const v15 = (message: Message): Message => ({
  ...message,
  flags: [LEGACY, ...(message.flags ?? [])],
});

const BOTH = ["OpenSSL", "BouncyCastle"];
const BOUNCY = ["BouncyCastle"];

const MESSAGES: readonly Message[] = [
  v15(cbc("rsa-pkcs1", "rsa", [...BOTH, "NSS", "gpgsm", "Mono"])),
  v15(cbc("rsa-pkcs1+ski", "rsa", ["Mono"])),
  cbc("rsa-oaep-sha256", "rsa", BOTH),
  cbc("ecdh-sha256", "p256", [...BOTH, "NSS 3.132", "gpgsm 2.4.9"]),
  cbc("ecdh-sha256", "p384", [...BOTH, "NSS 3.132", "gpgsm 2.4.9"]),
  cbc("ecdh-sha256+ukm", "p256", BOUNCY),
  v15({ ...cbc("rsa-pkcs1", "rsa", BOTH), cipher: "3des-cbc" }),
  gcm("rsa-oaep-sha1", "rsa", BOTH),
  gcm("rsa-oaep-sha256", "rsa", BOTH),
  gcm("rsa-oaep-sha512", "rsa", BOTH),
  v15(gcm("rsa-pkcs1", "rsa", BOTH)),
  gcm("ecdh-sha1", "p256", BOTH),
  gcm("ecdh-sha256", "p256", BOTH),
  gcm("ecdh-sha256+ukm", "p256", BOUNCY),
  gcm("ecdh-sha256+explicit", "p256", BOUNCY),
  gcm("ecdh-sha384", "p384", BOTH),
  gcm("ecdh-sha512", "p521", BOTH),
  gcm("cofactor-sha256", "p256", BOTH),
  gcm("x25519", "x25519", BOUNCY),
  { ...gcm("rsa-oaep-sha256", "rsa", BOUNCY), form: "auth-enveloped-attributes" },
  { ...gcm("ecdh-sha256", "p256", BOUNCY), form: "auth-enveloped-attributes" },
];

const bench = new CmsBench();
const { holders } = bench;
const CONTENT = randomBytes(70_000);

let tokenLabel = "";

beforeAll(async () => {
  const token = await freshToken("cms-peers");
  tokenLabel = token.label;
  for (const kind of ["rsa", "p256", "p384", "p521"] as const) {
    const privateHalf = kind === "rsa" ? { UNWRAP: true, DECRYPT: true } : { DERIVE: true };
    const options = { label: kind, id: Buffer.from(kind), privateHalf };
    await importKey(token, readFileSync(holders.of(kind).key, "utf8"), options);
  }
});

const onToken = (kind: HolderKind): string => `pkcs11:token=${tokenLabel};object=${kind}`;

describePeers("written by", (peer) => {
  MESSAGES.filter((one) => one.by.some((name) => peer.name.startsWith(name))).forEach((one) => {
    it(`${one.form}, ${one.recipient} for ${one.to}, ${one.cipher}`, () => opens(peer, one));
  });
});

const [newOpenSsl] = PRESENT_PEERS.filter(({ name }) => /^OpenSSL (?!3\.[0-5]\.)/.test(name));
if (newOpenSsl === undefined) {
  skipped("ML-KEM-768", "no OpenSSL from 3.6 on; npm run test:cms has one");
} else {
  let holder: Holder;
  beforeAll(() => {
    holder = holders.mlKem(newOpenSsl.programs["openssl"] as [string]);
  });
  const [bouncyCastle] = PRESENT_PEERS.filter(({ kind }) => kind === "bouncycastle");
  for (const peer of [newOpenSsl, ...(bouncyCastle === undefined ? [] : [bouncyCastle])]) {
    it.each(["auth-enveloped", "enveloped"] as const)(
      `written by ${peer.name}: %s for ML-KEM-768`,
      async (form) => {
        const cipher = form === "enveloped" ? "aes-256-cbc" : "aes-256-gcm";
        const how = { form, recipient: "ml-kem", cipher } as const;
        const message = await (await bench.program(peer)).encrypt(how, holder, CONTENT);
        const args = ["-i", holder.key, "--cert", holder.certificate, UNAUTHENTICATED];
        const opened = bench.written(".out", ["open", bench.file(".p7m", message), ...args]);
        expect(await opened).toEqual(CONTENT);
      },
    );
  }
}

for (const peer of PRESENT_PEERS.filter(({ kind }) => kind === "bouncycastle")) {
  it(`AES-GCM in EnvelopedData, its tag behind the ciphertext, by ${peer.name}, is refused`, async () => {
    const program = await bench.program(peer);
    const how = { ...gcm("rsa-oaep-sha256", "rsa", BOUNCY), form: "enveloped" } as const;
    const { key, certificate } = holders.of("rsa");
    const path = bench.file(".p7m", await program.encrypt(how, holders.of("rsa"), CONTENT));
    const all = ["open", path, "-i", key, "--cert", certificate, UNAUTHENTICATED, LEGACY];
    await bench.refuses(all, /"ERR_CMS"/);
  });
}

for (const peer of PRESENT_PEERS.filter(({ kind }) => ["openssl", "bouncycastle"].includes(kind))) {
  it(`a message by ${peer.name} that was altered, cut, or is another's, opens to nothing`, async () => {
    const program = await bench.program(peer);
    for (const [recipient, to] of [
      ["rsa-oaep-sha256", "rsa"],
      ["ecdh-sha256", "p256"],
    ] as const) {
      const { key, certificate } = holders.of(to);
      const open = (bytes: Uint8Array): readonly string[] => [
        ...["open", bench.file(".p7m", bytes), "-i", key, "--cert", certificate],
      ];
      const message = await program.encrypt(gcm(recipient, to, BOTH), holders.of(to), CONTENT);
      for (const where of [message.length - 12, message.length - 40_000]) {
        const altered = Buffer.from(message);
        altered.writeUInt8(altered.readUInt8(where) ^ 1, where);
        await bench.refuses(open(altered), /"ERR_NOT_AUTHENTIC"/);
      }
      await bench.refuses(open(message.subarray(0, -1)), /"ERR_(?:TRUNCATED|BER)"/);
      await bench.refuses(open(Buffer.concat([message, Buffer.of(0)])), /"ERR_TRAILING"/);
      const other = holders.of("p384");
      const asOther = ["-i", other.key, "--cert", other.certificate];
      await bench.refuses(["open", bench.file(".p7m", message), ...asOther], /"ERR_NO_MATCH"/);
    }
  });
}

async function opens(peer: CmsPeer, message: Message): Promise<void> {
  const { to, flags = [] } = message;
  const holder = holders.of(to);
  const program = await bench.program(peer);
  const path = bench.file(".p7m", await program.encrypt(message, holder, CONTENT));

  const withFile = ["open", path, "-i", holder.key, "--cert", holder.certificate];
  expect(contentOf(peer, await bench.written(".out", [...withFile, ...flags]))).toEqual(CONTENT);
  for (const flag of flags) {
    const others = flags.filter((one) => one !== flag);
    await bench.refuses([...withFile, ...others], /ERR_(?:LEGACY|UNAUTHENTICATED)/);
  }

  if (to === "x25519") return;
  const withToken = ["open", path, "-i", onToken(to), "--cert", holder.certificate];
  const opened = await bench.written(".out", [...withToken, ...flags]);
  expect(contentOf(peer, opened)).toEqual(CONTENT);
}

/** Mono encrypts an OCTET STRING with the content, tag and length and all. */
function contentOf(peer: CmsPeer, opened: Buffer): Buffer {
  if (peer.kind !== "mono") return opened;
  const octets = new DerReader(opened, "what Mono encrypted");
  const content = octets.read(TAG.octetString);
  octets.end();
  return Buffer.from(content);
}
