import { execFileSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import { DAY_MS, pemOf, rootAuthority } from "../../support/certificates.js";
import { temporaryFolder } from "../support/folder.js";
import { run, type Outcome, type RunOptions } from "../support/run.js";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const times = { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + 30 * DAY_MS };
const root = rootAuthority("Root", { ...times, subject: { O: "Zoë & Söhne", CN: "Root" } });
const other = rootAuthority("Other", times);
const leaf = root.issue({ subject: { CN: "Bob" }, ...times });
writeFileSync(at("root.pem"), pemOf("CERTIFICATE", root.certificate.der));
writeFileSync(at("root.der"), root.certificate.der);
writeFileSync(at("other.pem"), pemOf("CERTIFICATE", other.certificate.der));
writeFileSync(at("leaf.pem"), pemOf("CERTIFICATE", leaf.certificate.der));
writeFileSync(at("both.pem"), pemOf("CERTIFICATE", root.certificate.der, other.certificate.der));

let homes = 0;
function freshHome(): (words: string, options?: RunOptions) => Promise<Outcome> {
  const home = at(`home${homes++}`);
  return Object.assign(
    (words: string, options: RunOptions = {}) =>
      run(
        words.split(" ").map((word) => word.replace("@", `${folder}/`)),
        { env: { P11SEAL_HOME: home }, ...options },
      ),
    { home },
  );
}
const fileOf = (homeNumber: number, name: string): string =>
  at(`home${homeNumber}/trust/${name}.pem`);

describe("trust", () => {
  it("keeps an authority in a file that people and other programs read", async () => {
    const p11seal = freshHome();
    const added = await p11seal("trust add example-ca @root.pem");
    expect(added).toMatchObject({ status: 0 });
    const fingerprint = execFileSync(
      "openssl",
      ["x509", "-in", at("root.pem"), "-noout", "-fingerprint", "-sha256"],
      { encoding: "utf8" },
    ).replace(/^.*=|\n/g, "");
    expect(added.stdout.toString()).toContain(fingerprint);
    expect(added.stderr).toContain("compare the fingerprint");

    const file = fileOf(homes - 1, "example-ca");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const text = readFileSync(file, "utf8");
    expect(text).toContain("# subject: CN=Root,O=Zoë & Söhne\n");
    expect(text).toContain("# source: root.pem\n");
    expect(execFileSync("openssl", ["x509", "-in", file, "-outform", "DER"])).toEqual(
      Buffer.from(root.certificate.der),
    );
    const listed = JSON.parse((await p11seal("trust list --json")).stdout.toString()) as unknown;
    expect(listed).toMatchObject({
      authorities: [
        {
          ...{ name: "example-ca", subject: "CN=Root,O=Zoë & Söhne", fingerprint },
          ...{ source: "root.pem", status: "valid" },
        },
      ],
    });
    expect((await p11seal("trust list")).stdout.toString()).toContain(
      "CN=Root,O=Zoë & Söhne until",
    );
  });

  it("never puts another authority under a known name, nor one under two names", async () => {
    const p11seal = freshHome();
    await p11seal("trust add ca @root.der --provenance letter");
    const again = await p11seal("trust add CA @root.pem");
    expect(again).toMatchObject({ status: 0 });
    expect(again.stderr).toContain("was this authority already");
    expect(await p11seal("trust add Ca @other.pem")).toMatchObject({ status: 6 });
    const twice = await p11seal("trust add ca2 @root.pem");
    expect(twice).toMatchObject({ status: 6 });
    expect(twice.stderr).toContain('"ca" already');
    const text = readFileSync(fileOf(homes - 1, "ca"), "utf8");
    expect(text).toContain("# source: letter\n");
    expect(readdirSync(join(fileOf(homes - 1, "ca"), ".."))).toEqual(["ca.pem"]);
  });

  it("removes one, after its name was typed", async () => {
    const p11seal = freshHome();
    await p11seal("trust add ca @root.pem");
    await p11seal("trust add other @other.pem");
    expect(await p11seal("trust remove ca")).toMatchObject({ status: 2 });
    expect(await p11seal("trust remove ca", { answers: ["other"] })).toMatchObject({ status: 2 });
    const removed = await run(["trust", "remove", "CA"], {
      env: { P11SEAL_HOME: at(`home${homes - 1}`) },
      answers: ["ca"],
    });
    expect(removed).toMatchObject({ status: 0 });
    expect(removed.asked[0]?.prompt).toContain("CN=Root");
    expect((await p11seal("trust list")).stdout.toString()).not.toContain("CN=Root");
    expect((await p11seal("trust list")).stdout.toString()).toContain("CN=Other");
    expect(await p11seal("trust remove ca --yes")).toMatchObject({ status: 2 });
  });

  it("says so of a certificate that is no authority's", async () => {
    const p11seal = freshHome();
    const added = await p11seal("trust add bob @leaf.pem");
    expect(added).toMatchObject({ status: 0 });
    expect(added.stderr).toContain("it is no authority");
  });

  it.each([
    ["trust add ca @both.pem", "2 certificates instead of one"],
    ["trust add a/b @root.pem", "not a name"],
    ["trust add ca @missing.pem", "no such file"],
    ["trust add ca @home", "neither PEM nor DER"],
  ])("refuses %s", async (words, fact) => {
    writeFileSync(at("home"), "no certificate");
    const p11seal = freshHome();
    const told = await p11seal(words);
    expect(told.status).not.toBe(0);
    expect(told.stderr).toContain(fact);
    expect((await p11seal("trust list --json")).stdout.toString()).toContain('"authorities": []');
  });

  it.each([
    [
      "another certificate below the same lines",
      (text: string) => text.replace(/-----BEGIN[^]*/, pemOf("CERTIFICATE", other.certificate.der)),
      "fingerprint does not match",
    ],
    ["no certificate", (text: string) => text.replace(/-----BEGIN[^]*/, ""), "neither PEM nor DER"],
    ["two", (text: string) => text + pemOf("CERTIFICATE", other.certificate.der), "more than one"],
    ["no time", (text: string) => text.replace(/# added.*/, ""), "when it was added"],
  ])("refuses a file with %s", async (_what, change, fact) => {
    const p11seal = freshHome();
    await p11seal("trust add ca @root.pem");
    const file = fileOf(homes - 1, "ca");
    writeFileSync(file, change(readFileSync(file, "utf8")));
    const told = await p11seal("trust list");
    expect(told.status).toBe(1);
    expect(told.stderr).toContain(fact);
  });

  it("refuses a file that others can write to", async () => {
    const p11seal = freshHome();
    await p11seal("trust add ca @root.pem");
    chmodSync(fileOf(homes - 1, "ca"), 0o666);
    const told = await p11seal("trust list");
    expect(told).toMatchObject({ status: 6 });
    expect(told.stderr).toContain("can be written by others");
  });
});
