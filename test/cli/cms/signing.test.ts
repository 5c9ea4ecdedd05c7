/** Signatures both ways: what others sign is verified, what p11seal signs others verify. */
import { randomBytes } from "node:crypto";
import { expect, it } from "@jest/globals";
import type { HolderKind } from "../../support/cms-peers/holders.js";
import { type CmsPeer, describePeers, PRESENT_PEERS } from "../../support/cms-peers/peer.js";
import { MonoProgram } from "../../support/cms-peers/line-programs.js";
import { CmsBench } from "./bench.js";

const bench = new CmsBench();
const { holders } = bench;
const CONTENT = randomBytes(70_000);

/** Kinds of keys that a program can't sign with, or can't verify signatures of. */
const UNSIGNED: Readonly<Record<string, readonly HolderKind[]>> = {
  "OpenSSL 3.0": ["ed25519"],
  NSS: ["ed25519"],
  "gpgsm 2.2": ["p256", "p384", "ed25519"],
  gpgsm: ["ed25519"],
  Mono: ["p256", "p384", "ed25519"],
};
const UNVERIFIED: Readonly<Record<string, Partial<Record<HolderKind, RegExp>>>> = {
  "OpenSSL 3.0": { ed25519: /digest and key type not supported|error/ },
  NSS: { ed25519: /PKCS7_BAD_SIGNATURE/ },
  gpgsm: { ed25519: /Internal error/ },
  Mono: { p256: /not implemented/, p384: /not implemented/, ed25519: /Unknown algorithm/ },
};
const KINDS = ["rsa", "p256", "p384", "ed25519"] as const;

describePeers("signed by", (peer) => {
  const cannot = of(UNSIGNED, peer) ?? [];
  KINDS.filter((kind) => !cannot.includes(kind)).forEach((kind) => {
    it(`${kind}, opaque`, () => verifiesOpaque(peer, kind));
    it(`${kind}, detached`, () => verifiesDetached(peer, kind));
  });
});

describePeers("verified by", (peer) => {
  const verifies = (
    title: string,
    kind: HolderKind,
    refusal: RegExp | undefined,
    options: readonly string[] = [],
  ): void => {
    const not = refusal === undefined ? "" : ` [not: ${refusal.source}]`;
    it(`${title}, opaque and detached${not}`, () => isVerified(peer, kind, refusal, options));
  };
  KINDS.forEach((kind) => {
    verifies(kind, kind, of(UNVERIFIED, peer)?.[kind]);
  });
  const noPss = peer.kind === "mono" ? /padding mode is not valid/ : undefined;
  verifies("RSA-PSS", "rsa", noPss, ["--pss"]);
});

for (const peer of PRESENT_PEERS.filter(({ kind }) => kind === "mono")) {
  it(`${peer.name}'s default, a signature over no attributes, is refused`, async () => {
    const program = await bench.program(peer);
    if (!(program instanceof MonoProgram)) throw new Error(peer.kind);
    const message = await program.sign("bare", holders.of("rsa"), CONTENT);
    const path = bench.file(".p7m", message);
    await bench.refuses(["verify", "--any-signer", path], /"ERR_NO_SIGNED_ATTRIBUTES"/);
  });
}

/** The first of those whose name a program's begins with. */
function of<T>(all: Readonly<Record<string, T>>, { name }: CmsPeer): T | undefined {
  return Object.entries(all).find(([start]) => name.startsWith(start))?.[1];
}

async function verifiesOpaque(peer: CmsPeer, kind: HolderKind): Promise<void> {
  const program = await bench.program(peer);
  const message = await program.sign("opaque", holders.of(kind), CONTENT);
  const path = bench.file(".p7m", message);
  expect(await bench.written(".out", ["verify", "--any-signer", path])).toEqual(CONTENT);
  // Nobody said that this one is to be believed, until an authority does.
  await bench.refuses(["verify", path], /"ERR_SENDER_UNKNOWN"/);
  const trusted = ["verify", "--trust", holders.rootPem, "--from"];
  expect(await bench.written(".out", [...trusted, holders.of(kind).mail, path])).toEqual(CONTENT);
  await bench.refuses([...trusted, "x25519@example.org", path], /"ERR_SENDER_\w+"/);

  const altered = Buffer.from(message);
  altered.writeUInt8(altered.readUInt8(35_000) ^ 1, 35_000);
  await bench.refuses(
    ["verify", "--any-signer", bench.file(".p7m", altered)],
    /"ERR_CONTENT_MISMATCH"/,
  );
}

async function verifiesDetached(peer: CmsPeer, kind: HolderKind): Promise<void> {
  const program = await bench.program(peer);
  const message = await program.sign("detached", holders.of(kind), CONTENT);
  const path = bench.file(".p7s", message);
  const verify = async (content: Uint8Array): Promise<number> => {
    const args = ["verify", "--any-signer", "--content", bench.file(".content", content), path];
    return (await bench.p11seal(args)).status;
  };
  expect(await verify(CONTENT)).toBe(0);
  expect(await verify(CONTENT.subarray(1))).not.toBe(0);
}

async function isVerified(
  peer: CmsPeer,
  kind: HolderKind,
  refusal: RegExp | undefined,
  options: readonly string[],
): Promise<void> {
  const program = await bench.program(peer);
  const by = holders.of(kind);
  const plain = bench.file(".plain", CONTENT);
  const sign = ["sign", "-k", by.key, "--cert", by.certificate, ...options, plain];
  const detached = await bench.written(".p7s", sign);
  const opaque = await bench.written(".p7m", [...sign, "--opaque"]);
  if (refusal !== undefined) {
    await expect(program.verify(by, opaque)).rejects.toThrow(refusal);
    await expect(program.verify(by, detached, CONTENT)).rejects.toThrow(refusal);
    return;
  }
  expect(await program.verify(by, opaque)).toEqual(CONTENT);
  await program.verify(by, detached, CONTENT);
  await expect(program.verify(by, detached, CONTENT.subarray(1))).rejects.toThrow(program.name);
}
