/** Certificates of recipients, in p11seal's own format, which needs none. */
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { DAY_MS, keyUsage, pemOf, rootAuthority } from "../../support/certificates.js";
import { temporaryFolder } from "../support/folder.js";
import { run, type Outcome } from "../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const times = { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + 30 * DAY_MS };
const root = rootAuthority("Root", times);
const bob = root.issue({
  subject: { CN: "Bob" },
  extensions: [keyUsage("keyAgreement")],
  ...times,
});
writeFileSync(at("bob.crt"), pemOf("CERTIFICATE", bob.certificate.der));
writeFileSync(at("bob.pem"), bob.keys.publicKey.export({ format: "pem", type: "spki" }));
writeFileSync(at("root.pem"), pemOf("CERTIFICATE", root.certificate.der));
writeFileSync(at("plan.txt"), "the plan\n");

let home = "";
let homes = 0;
beforeEach(() => {
  home = at(`home${homes++}`);
  mkdirSync(home, { mode: 0o700 });
  rmSync(at("plan.p11s"), { force: true });
});

function p11seal(...argv: string[]): Promise<Outcome> {
  return run(argv, { env: { P11SEAL_HOME: home } });
}

const seal = (recipient: string, ...more: string[]): Promise<Outcome> =>
  p11seal("seal", "-r", at(recipient), ...more, "-o", at("plan.p11s"), at("plan.txt"));

function configure(text: string): void {
  writeFileSync(join(home, "config.toml"), `${text}\n`, { mode: 0o600 });
}

describe("a certificate in p11seal's own format", () => {
  it("is noted if it is not believed, and a key without one is not", async () => {
    const told = await seal("bob.crt");
    expect(told).toMatchObject({ status: 0 });
    expect(told.stderr).toContain("the certificate is not verified: no authority is trusted");
    expect(await seal("bob.pem", "--force")).toMatchObject({ status: 0, stderr: "" });
    await p11seal("trust", "add", "root", at("root.pem"));
    expect(await seal("bob.crt", "--force")).toMatchObject({ status: 0, stderr: "" });
  });

  it.each([
    ["--trust", ["--trust", at("bob.pem")], 1],
    ["another authority", ["--trust", at("bob.crt"), "--at", "2020-01-01"], 6],
    ["a list that is none", ["--crl", at("root.pem")], 1],
  ])("is judged for good with %s", async (_what, words, status) => {
    expect(await seal("bob.crt", ...words)).toMatchObject({ status });
    expect(existsSync(at("plan.p11s"))).toBe(false);
  });

  it('is refused with certificates = "required" in config.toml', async () => {
    configure('certificates = "required"');
    const refused = await seal("bob.crt");
    expect(refused).toMatchObject({ status: 6 });
    expect(refused.stderr).toContain("--allow-untrusted-cert");
    expect(existsSync(at("plan.p11s"))).toBe(false);
    expect(await seal("bob.crt", "--allow-untrusted-cert")).toMatchObject({ status: 0 });
    expect(await seal("bob.pem", "--force")).toMatchObject({ status: 0, stderr: "" });
    configure(`certificates = "required"\ntrust = ["${at("root.pem")}"]`);
    expect(await seal("bob.crt", "--force")).toMatchObject({ status: 0, stderr: "" });
  });

  it.each(['certificates = "maybe"', "trust = 1", 'trust = [""]'])(
    "and a setting that is damaged: %s",
    async (text) => {
      configure(text);
      const told = await seal("bob.crt");
      expect(told).toMatchObject({ status: 1 });
      expect(told.stderr).toContain("config.toml");
    },
  );

  it("needs no data folder, however unsafe the one is that is there", async () => {
    chmodSync(home, 0o777);
    const told = await seal("bob.crt");
    expect(told).toMatchObject({ status: 0 });
    expect(told.stderr).toContain("the certificate is not verified");
    expect(await seal("bob.crt", "--force", "--trust", at("root.pem"))).toMatchObject({
      status: 6,
    });
  });
});
