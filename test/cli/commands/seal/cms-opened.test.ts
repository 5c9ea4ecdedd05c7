/** What `seal --format cms` writes, opened, checked and inspected by p11seal itself. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { formatPem } from "../../../../src/asn1/pem.js";
import { DAY_MS, rootAuthority } from "../../../support/certificates.js";
import { TEST_KEYS, testKeyPair } from "../../../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../../support/softhsm.js";
import { temporaryFolder } from "../../support/folder.js";
import { writePerson } from "../../support/people.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const notAfterMs = Date.now() + DAY_MS;
const root = rootAuthority("Root", { notAfterMs });
const PLAN = "the plan\n";
let token: TestToken;

const run = (...argv: string[]): Promise<Ended> =>
  p11seal(argv, {
    cwd: folder,
    env: { P11SEAL_HOME: at("home"), P11SEAL_MODULE: SOFTHSM_MODULE, PIN: USER_PIN },
  });
const seal = (name: string, ...argv: string[]): Promise<Ended> =>
  run("seal", "--format", "cms", "--trust", "root.crt", ...argv, "-o", name, "plan.txt");
const open = (name: string, ...argv: string[]): Promise<Ended> =>
  run("open", "-i", "rob.key", "--cert", "rob.crt", ...argv, "-o", "-", name);
const signed = ["--sign-with", "alice.key", "--cert", "alice.crt"];

beforeAll(async () => {
  writeFileSync(at("plan.txt"), PLAN);
  writeFileSync(at("root.crt"), formatPem("CERTIFICATE", root.certificate.der));
  for (const [file, name] of [
    ["bob", "p256"],
    ["rob", "rsa2048"],
    ["alice", "p384"],
  ] as const) {
    const own = { keys: testKeyPair(name), subject: { CN: file }, notAfterMs, extensions: [] };
    writePerson(folder, file, root.issue(own));
  }
  token = await freshToken("cms sealed");
  await importKey(token, TEST_KEYS.p256, {
    label: "bob",
    id: Uint8Array.of(1),
    privateHalf: { DERIVE: true },
  });
  expect(await run("senders", "add", "alice", "alice.crt")).toMatchObject({ status: 0 });
});

/** The base64 of the attachment that a mail's part is. */
function attached(part: Buffer): string {
  const [header = "", body = ""] = part.toString("latin1").split("\r\n\r\n");
  expect(header).toContain('filename="plan.txt"');
  return Buffer.from(body, "base64").toString();
}

describe("a message in CMS", () => {
  it.each([
    ["by issuer and serial number", []],
    ["by key identifier", ["--by-ski"]],
    ["as PEM", ["-a"]],
  ])("opens with its certificate: %s", async (_name, options) => {
    await seal("plan.p7m", "-r", "rob.crt", ...options, "--force");
    expect(await open("plan.p7m")).toMatchObject({ status: 0, stderr: "" });
    expect((await open("plan.p7m")).stdout.toString()).toBe(PLAN);
  });

  it("to a bare key opens without a certificate", async () => {
    await seal("bare.p7m", "-r", "rob.pem");
    const opened = await run("open", "-i", "rob.key", "-o", "-", "bare.p7m");
    expect([opened.status, opened.stdout.toString()]).toEqual([0, PLAN]);
  });

  it("opens with a card on which the certificate lies beside the key", async () => {
    const key = `${token.uri};object=bob`;
    const pin = ["--pin-source", "env:PIN"];
    expect(await run("keys", "import-cert", key, "bob.crt", ...pin)).toMatchObject({ status: 0 });
    await seal("card.p7m", "-r", "bob.crt", "-r", "rob.crt");
    const opened = await run("open", "-i", key, ...pin, "-o", "-", "card.p7m");
    expect([opened.status, opened.stdout.toString()]).toEqual([0, PLAN]);
  });

  it("is taken from a mail, which others have put more fields into", async () => {
    await seal("plan.eml", "-r", "rob.crt", "--smime");
    const mail = readFileSync(at("plan.eml"), "latin1");
    const sent = `Received: by mail;\r\n\tSun, 29 Nov 2026\r\nFrom: alice@example.org\r\n${mail}`;
    writeFileSync(at("sent.eml"), sent);
    writeFileSync(at("unix.eml"), sent.replaceAll("\r\n", "\n"));
    for (const name of ["plan.eml", "sent.eml", "unix.eml"]) {
      const opened = await open(name);
      expect(opened).toMatchObject({ status: 0, stderr: "" });
      expect(attached(opened.stdout)).toBe(PLAN);
    }
  });

  it("for windows opens where that is put up with, or a signature inside vouches", async () => {
    const windows = ["-r", "rob.crt", "--profile", "windows"];
    await seal("w.p7m", ...windows);
    expect((await open("w.p7m")).status).toBe(6);
    const opened = await open("w.p7m", "--allow-unauthenticated");
    expect([opened.status, opened.stdout.toString()]).toEqual([0, PLAN]);
    await seal("ws.p7m", ...windows, ...signed);
    const verified = await open("ws.p7m", "--from", "alice");
    expect([verified.status, verified.stdout.toString()]).toEqual([0, PLAN]);
  });

  it.each([
    ["signed.p7m", []],
    ["signed.eml", ["--smime"]],
  ])("signed inside opens from its sender, and once: %s", async (name, form) => {
    // The same content, signed by the same key in the same second, is the same message.
    await setTimeout(1000 - (Date.now() % 1000));
    await seal(name, "-r", "rob.crt", ...signed, ...form);
    const opened = await open(name, "--from", "alice");
    expect(opened.status).toBe(0);
    expect(opened.stderr).toContain('from "alice"');
    expect(form.length === 0 ? opened.stdout.toString() : attached(opened.stdout)).toBe(PLAN);
    const again = await open(name, "--from", "alice");
    expect([again.status, again.stdout.length]).toEqual([6, 0]);
  });

  it("cut or altered anywhere near its ends opens to nothing", async () => {
    await seal("whole.p7m", "-r", "rob.crt");
    const whole = readFileSync(at("whole.p7m"));
    for (const bytes of [
      whole.subarray(0, -1),
      whole.subarray(0, -20),
      Buffer.concat([whole, Buffer.from([0])]),
      whole.map((byte, index) => (index === whole.length - 30 ? byte ^ 1 : byte)),
    ]) {
      writeFileSync(at("bad.p7m"), bytes);
      const argv = ["open", "-i", "rob.key", "--cert", "rob.crt", "-o", "bad.txt", "bad.p7m"];
      expect((await run(...argv)).status).not.toBe(0);
      expect(existsSync(at("bad.txt"))).toBe(false);
    }
  });

  it("is inspected: its format, cipher and recipients", async () => {
    await seal("inspected.p7m", "-r", "rob.crt", "-r", "bob.crt", "--oaep", "sha384");
    const json = (await run("inspect", "--json", "inspected.p7m")).stdout.toString();
    const shown = JSON.parse(json) as { readonly recipients: readonly { type: string }[] };
    expect(shown).toMatchObject({ format: "cms", cipher: "aes-256-gcm", authenticated: true });
    const types = shown.recipients.map(({ type }) => type);
    expect(types.sort()).toEqual(["ecdh", "rsa-oaep"]);
    await seal("w2.p7m", "-r", "rob.crt", "--profile", "windows");
    const text = (await run("inspect", "w2.p7m")).stdout.toString();
    expect(text).toMatch(/^cipher +aes-256-cbc; without a signature inside/m);
    expect(text).toMatch(/^sender +not signed outside; a signature inside shows on opening$/m);
    await seal("outside.eml", "-r", "rob.crt", "--smime");
    const signer = ["-k", "alice.key", "--cert", "alice.crt"];
    await run("sign", ...signer, "--opaque", "-o", "s.p7m", "outside.eml");
    const signed = (await run("inspect", "s.p7m")).stdout.toString();
    expect(signed).toMatch(/^sender +signed; who signed shows/m);
  });
});
