/**
 * Messages that p11seal encrypts, read by other programs: all that can read them do, and what the
 * others say is written down here, so that a newer one that can is noticed.
 */
import { randomBytes } from "node:crypto";
import { expect, it } from "@jest/globals";
import type { HolderKind } from "../../support/cms-peers/holders.js";
import { type CmsPeer, describePeers, PRESENT_PEERS } from "../../support/cms-peers/peer.js";
import { type MessageForm, OpenSslProgram } from "../../support/cms-peers/openssl.js";
import { CmsBench } from "./bench.js";

interface Sealed {
  readonly title: string;
  readonly args: readonly string[];
  readonly to: readonly HolderKind[];
  /** What a program says that can't read it, by the beginning of the program's name. */
  readonly refusals: Readonly<Record<string, RegExp>>;
}

/** Programs that know no AuthEnvelopedData, or stumble over its nonce. */
const NO_GCM = {
  "NSS 3.87": /SEC_ERROR_UNRECOGNIZED_OID/,
  gpgsm: /Buffer too short/,
  Mono: /Invalid cryptographic message type/,
};

/** It crashes when it is given a key on a curve. */
const NO_CURVES = { "gpgsm 2.2": /ended with null/ };

/** They know no RSA-OAEP, with which alone p11seal wraps keys for RSA. */
const NO_OAEP = { "NSS 3.87": /SEC_ERROR_UNSUPPORTED_KEYALG/, gpgsm: /No secret key/ };

const MESSAGES: readonly Sealed[] = [
  { title: "RSA-OAEP", args: [], to: ["rsa"], refusals: NO_GCM },
  { title: "RSA-OAEP with SHA-1", args: ["--oaep", "sha1"], to: ["rsa"], refusals: NO_GCM },
  ...(["p256", "p384", "p521"] as const).map((curve) => ({
    ...{ title: `ECDH for ${curve}`, args: [], to: [curve] },
    refusals: { ...NO_CURVES, ...NO_GCM },
  })),
  {
    ...{ title: "two recipients, named by their keys", args: ["--by-ski"], to: ["rsa", "p256"] },
    refusals: { ...NO_GCM, gpgsm: /BER error/ },
  },
  { title: "the windows profile", args: ["--profile", "windows"], to: ["rsa"], refusals: NO_OAEP },
];

const bench = new CmsBench();
const { holders } = bench;
const CONTENT = randomBytes(70_000);
const SEAL = ["seal", "--format", "cms", "--trust", holders.rootPem];

describePeers("read by", (peer) => {
  MESSAGES.forEach((one) => {
    const refusal = Object.entries(one.refusals).find(([name]) => peer.name.startsWith(name));
    it(`${one.title}${refusal === undefined ? "" : ` [not: ${refusal[1].source}]`}`, () =>
      reads(peer, one, refusal?.[1]));
  });
});

for (const peer of PRESENT_PEERS.filter(({ kind }) => kind === "openssl")) {
  it.each([
    ["--armor", "PEM"],
    ["--smime", "SMIME"],
  ] as const)(`${peer.name} reads what --format cms %s makes`, async (option, form) => {
    const [holder, plain] = [holders.of("rsa"), bench.file(".plain", CONTENT)];
    const args = [...SEAL, option, "-r", holder.certificate, plain];
    const program = await openssl(peer);
    const opened = await program.decrypt(holder, await bench.written(".out", args), form);
    expect(contentOf(opened, form)).toEqual(CONTENT);
  });

  it.each([
    ["a mail", ["--smime"], "SMIME"],
    ["a file", [], "DER"],
  ] as const)(`${peer.name} finds the signature inside of %s`, async (_, option, form) => {
    const [holder, signer] = [holders.of("p384"), holders.of("p256")];
    const plain = bench.file(".plain", CONTENT);
    const sign = ["--sign-with", signer.key, "--cert", signer.certificate];
    const args = [...SEAL, ...option, "-r", holder.certificate, ...sign, plain];
    const program = await openssl(peer);
    const inside = await program.decrypt(holder, await bench.written(".out", args), form);
    const verified = await program.verify(signer, inside, undefined, "SMIME");
    expect(contentOf(verified, form)).toEqual(CONTENT);
  });
}

for (const peer of PRESENT_PEERS.filter(({ kind }) => ["openssl", "bouncycastle"].includes(kind))) {
  it(`X25519: ${peer.kind === "openssl" ? "not " : ""}${peer.name}`, async () => {
    const [holder, plain] = [holders.of("x25519"), bench.file(".plain", CONTENT)];
    const args = [...SEAL, "-r", holder.certificate, plain];
    const opened = (await bench.program(peer)).decrypt(holder, await bench.written(".p7m", args));
    if (peer.kind === "bouncycastle") expect(await opened).toEqual(CONTENT);
    else await expect(opened).rejects.toThrow(/no matching recipient|missing key/);
  });
}

async function openssl(peer: CmsPeer): Promise<OpenSslProgram> {
  const program = await bench.program(peer);
  if (!(program instanceof OpenSslProgram)) throw new Error(peer.kind);
  return program;
}

/** The file in a mail's only part. */
function contentOf(opened: Buffer, form: MessageForm): Buffer {
  if (form !== "SMIME") return opened;
  const [fields = "", ...body] = opened.toString("latin1").split("\r\n\r\n");
  expect(fields).toMatch(/^Content-Transfer-Encoding: base64/m);
  return Buffer.from(body.join(""), "base64");
}

async function reads(
  peer: CmsPeer,
  { args, to }: Sealed,
  refusal: RegExp | undefined,
): Promise<void> {
  const recipients = to.flatMap((kind) => ["-r", holders.of(kind).certificate]);
  const plain = bench.file(".plain", CONTENT);
  const sealed = await bench.written(".p7m", [...[...SEAL, ...args, ...recipients, plain]]);
  const program = await bench.program(peer);
  for (const kind of to) {
    const opened = program.decrypt(holders.of(kind), sealed);
    if (refusal === undefined) expect(await opened).toEqual(CONTENT);
    else await expect(opened).rejects.toThrow(refusal);
    // It crashes over the next key.
    if (refusal !== undefined) break;
  }
}
