/** `audit --as` on SoftHSM: whether what is wrapped for a key that a header names opens it. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { sealBodyUnder, finishHeader } from "../../../../src/envelope/age/age-file-key.js";
import { transcriptOf } from "../../../../src/envelope/age/age-header.js";
import { wrapFor } from "../../../../src/envelope/age/age-wrap.js";
import { encodeStanza } from "../../../../src/envelope/age/stanzas.js";
import { parsePublicKey } from "../../../../src/keys/formats/key-file.js";
import type { EcPublicKey, RsaPublicKey } from "../../../../src/keys/key.js";
import { Secret } from "../../../../src/secret.js";
import { oaepEncrypt } from "../../../../src/wrap/rsa-oaep.js";
import { messageBytes, recips, stanza, tagOf } from "../../../support/forge.js";
import { temporaryFolder, writeKeys } from "../../support/folder.js";
import { run } from "../../support/run.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const PIN = "correct-7291";
const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const env = {
  P11SEAL_HOME: at("home"),
  P11SEAL_MODULE: process.env["TEST_SOFTHSM2_MODULE"],
  P11SEAL_SOFTHSM2: process.env["TEST_SOFTHSM2_MODULE"],
  SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"],
  // Every request for a PIN leaves a line behind.
  P11SEAL_PIN_SOURCE: `cmd:echo asked >> '${at("asked")}'; echo ${PIN}`,
};
const TOKEN = "pkcs11:token=audit-escrow";
const alone = (argv: string[], own: Record<string, string> = {}): Promise<Ended> =>
  p11seal(argv, { cwd: folder, env: { ...env, ...own } });

async function ok(...argv: string[]): Promise<void> {
  const { status, stderr } = await run(argv, { env });
  expect({ argv, status, stderr }).toMatchObject({ argv, status: 0 });
}

interface AuditData {
  findings: { file: string; kind: string; message: string }[];
  proof?: { proved: number; refuted: number; unprovable: number; leftOut: number };
}

async function audit(...argv: string[]): Promise<AuditData & { stderr: string }> {
  const { stdout, stderr } = await alone(["audit", "--json", ...argv]);
  return { ...(JSON.parse(stdout.toString("utf8")) as AuditData), stderr };
}

const JUNK = ["tree/junk-rsa.p11s", "tree/junk-ec.age"];
const timesAsked = (): number => (existsSync(at("asked")) ? lines(at("asked")) : 0);
const lines = (path: string): number => readFileSync(path, "utf8").split("\n").length - 1;

beforeAll(async () => {
  mkdirSync(at("home"), { mode: 0o700 });
  mkdirSync(at("tree"));
  writeKeys(folder);
  process.chdir(folder);
  writeFileSync(at("note"), "meet at noon\n");
  await ok("token", "init", "--label", "audit-escrow", "--so-pin-source", `cmd:echo ${PIN}`);
  for (const [label, type] of [
    ["rsa", "rsa:2048"],
    ["ec", "ec:p256"],
  ] as const) {
    const argv = ["--token", TOKEN, "--label", label, "--type", type, "-o", `${label}.pem`];
    await ok("keys", "generate", ...argv);
    await ok("recipients", "add", `escrow-${label}`, `${label}.pem`);
  }
  await ok("recipients", "add", "bob", "bob.pem");
  const seal = (name: string, ...argv: string[]): Promise<void> =>
    ok("seal", ...argv, "-o", `tree/${name}`, "note");
  const both = ["-r", "rsa.pem", "-r", "ec.pem", "-r", "bob.pem"];
  for (let n = 0; n < 4; n++) await seal(`good-${n}.p11s`, ...both);
  await seal("good.age", "--format", "age", "-r", "ec.pem", "-r", "bob.pem");
  await seal("good.p7m", "--format", "cms", "--by-ski", "-r", "rsa.pem");
  await seal("for-bob.p11s", "-r", "bob.pem");
  const sealed = readFileSync(at("tree/good-0.p11s"));
  // A header alone, with nothing behind it.
  const { stdout } = await run(["inspect", "--json", "tree/good-0.p11s"], { env });
  const { headerBytes } = JSON.parse(stdout.toString("utf8")) as { headerBytes: number };
  writeFileSync(at("tree/header.p11s"), sealed.subarray(0, headerBytes));
  await writeJunk();
});

/**
 * What a sender can do who would rather not have the escrow read along: the right tag, and under it
 * another key than the message's, wrapped as it should be. Whoever else it is for opens it.
 */
async function writeJunk(): Promise<void> {
  const rsa = parsePublicKey(readFileSync(at("rsa.pem")), "rsa.pem").publicKey as RsaPublicKey;
  const junk = oaepEncrypt(rsa.object, randomBytes(32), { hash: "sha1" });
  const body = Buffer.concat([Buffer.of(1, 1), junk]);
  const stanzas = [stanza(), stanza({ tag: tagOf(rsa.fingerprint), body })];
  writeFileSync(at(JUNK[0] ?? ""), messageBytes({ recips: recips(stanzas) }));

  const keyIn = (name: string): EcPublicKey =>
    parsePublicKey(readFileSync(at(name)), name).publicKey as EcPublicKey;
  const fileKey = new Secret(new Uint8Array(randomBytes(16)));
  const other = new Secret(new Uint8Array(randomBytes(16)));
  const wrapped = [await wrapFor(keyIn("bob.pem"), fileKey), await wrapFor(keyIn("ec.pem"), other)];
  const header = finishHeader(fileKey, transcriptOf(wrapped.map(encodeStanza)));
  const { nonce, cipher } = sealBodyUnder(fileKey);
  const chunks = cipher.seal(0, true, new TextEncoder().encode("not for the escrow\n"));
  writeFileSync(at(JUNK[1] ?? ""), Buffer.concat([header, nonce, ...chunks]));
}

beforeEach(() => {
  rmSync(at("asked"), { force: true });
});

describe("audit --as", () => {
  it("finds the junk under a right tag, with one PIN for all messages", async () => {
    const { findings, proof, stderr } = await audit("--tree", "tree", "--as", TOKEN);
    const junk = findings.filter(({ kind }) => kind === "junk-stanza");
    expect(junk.map(({ file }) => file).sort()).toEqual([...JUNK].sort());
    expect(junk[0]?.message).toContain("does not open the header");
    expect(findings.filter(({ kind }) => kind === "not-for-key").map(({ file }) => file)).toEqual([
      "tree/for-bob.p11s",
    ]);
    expect(proof).toEqual({ proved: 6, refuted: 3, unprovable: 1, leftOut: 0 });
    expect(timesAsked()).toBe(1);
    expect(stderr).toContain("with --as: 6 of 9 headers could be opened");
    expect(stderr).toContain("1 message not checked with --as: only opening to the end shows");
  });

  it("is the only one to find it, and nothing else asks for a PIN", async () => {
    const { findings, proof } = await audit(...JUNK, "tree/good-0.p11s");
    expect(proof).toBeUndefined();
    const kindsOf = (file: string): string[] =>
      findings.filter((one) => one.file === file).map(({ kind }) => kind);
    for (const file of JUNK) {
      expect(kindsOf(file)).not.toContain("junk-stanza");
      const { status } = await alone(["inspect", "-i", TOKEN, file]);
      expect(status).toBe(0);
    }
    expect(timesAsked()).toBe(0);
    // To the other recipient it is a message like any other.
    const opened = await alone(["open", "-i", "bob.key", JUNK[1] ?? ""]);
    expect(opened.stdout.toString("utf8")).toBe("not for the escrow\n");
  });

  it("reads no body: a header alone will do", async () => {
    const { proof } = await audit("--as", `${TOKEN};object=ec`, "tree/header.p11s");
    expect(proof).toEqual({ proved: 1, refuted: 0, unprovable: 0, leftOut: 0 });
  });

  it("tries a sample, and says how many were left out", async () => {
    const { proof } = await audit("--tree", "tree", "--as", TOKEN, "--sample", "3");
    const { proved = 0, refuted = 0, unprovable = 0, leftOut } = proof ?? {};
    expect(proved + refuted + unprovable).toBe(3);
    expect(leftOut).toBe(7);
    expect(timesAsked()).toBeLessThanOrEqual(1);
  });

  it("takes a key file, too", async () => {
    const { proof } = await audit("--as", "bob.key", "tree/good.age", JUNK[1] ?? "");
    expect(proof).toEqual({ proved: 2, refuted: 0, unprovable: 0, leftOut: 0 });
  });

  it("ends at a wrong PIN, which is sent once", async () => {
    const wrong = `cmd:echo asked >> '${at("asked")}'; echo wrong-1234`;
    const { status } = await alone(["audit", "--tree", "tree", "--as", TOKEN], {
      P11SEAL_PIN_SOURCE: wrong,
    });
    expect(status).toBe(5);
    expect(timesAsked()).toBe(1);
  });

  it("is refused with --sample alone, or a number that is none", async () => {
    for (const argv of [
      ["--sample", "3"],
      ["--as", TOKEN, "--sample", "0"],
    ]) {
      expect((await run(["audit", ...argv, "note"], { env })).status).toBe(2);
    }
  });
});
