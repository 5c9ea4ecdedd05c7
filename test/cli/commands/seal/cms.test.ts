/** `seal --format cms`: what OpenSSL opens, and what is refused or said about it. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { formatPem } from "../../../../src/asn1/pem.js";
import { DAY_MS, keyUsage, rootAuthority, type Issuer } from "../../../support/certificates.js";
import { testKeyPair, type TestKeyName } from "../../../support/keys.js";
import { temporaryFolder } from "../../support/folder.js";
import { writePerson } from "../../support/people.js";
import { p11seal, type Ended } from "../../support/spawn.js";

const folders = temporaryFolder();
let folder: string;
const at = (name: string): string => join(folder, name);
const notAfterMs = Date.now() + DAY_MS;
const root = rootAuthority("Root", { notAfterMs });
const ca = root.authority("CA", { notAfterMs });

function issued(name: TestKeyName): Issuer {
  return ca.issue({ keys: testKeyPair(name), subject: { CN: name }, notAfterMs, extensions: [] });
}

const pem = (issuer: Issuer): string => formatPem("CERTIFICATE", issuer.certificate.der);

beforeEach(() => {
  folder = mkdtempSync(join(folders, "run-"));
  for (const [file, name] of [
    ["bob", "p256"],
    ["rob", "rsa2048"],
    ["alice", "p384"],
  ] as const) {
    writePerson(folder, file, issued(name));
  }
  writeFileSync(at("ca.crt"), pem(ca));
  writeFileSync(at("plan.txt"), "the plan\n");
  mkdirSync(at("out"));
});

const run = (...argv: string[]): Promise<Ended> =>
  p11seal(argv, { cwd: folder, env: { P11SEAL_HOME: at("home") } });
const seal = (...argv: string[]): Promise<Ended> =>
  run("seal", "--format", "cms", "--trust", "ca.crt", ...argv);

function opened(file: string, name: string, form: "DER" | "PEM" | "SMIME" = "DER"): Buffer {
  const args = ["cms", "-decrypt", "-inform", form, "-in", file, "-binary"];
  const keys = ["-recip", `${name}.crt`, "-inkey", `${name}.key`];
  return execFileSync("openssl", [...args, ...keys], { cwd: folder, maxBuffer: 2 ** 26 });
}

describe("OpenSSL opens", () => {
  it("a message for several certificates, with each of their keys", async () => {
    const content = randomBytes(3_000_000);
    writeFileSync(at("big"), content);
    const sealed = await seal("-r", "bob.crt", "-r", "rob.crt", "-o", "big.p7m", "big");
    expect(sealed).toMatchObject({ status: 0, stderr: "" });
    for (const name of ["bob", "rob"]) expect(opened("big.p7m", name).equals(content)).toBe(true);
  });

  it("several files, named by their format", async () => {
    writeFileSync(at("other.txt"), "other\n");
    expect(await seal("-r", "bob.crt", "-o", "out", "plan.txt", "other.txt")).toMatchObject({
      status: 0,
    });
    expect(readdirSync(at("out"))).toEqual(["other.txt.p7m", "plan.txt.p7m"]);
    expect(opened("out/plan.txt.p7m", "bob").toString()).toBe("the plan\n");
  });

  it("a message as PEM", async () => {
    expect(await seal("-r", "bob.crt", "-a", "-o", "plan.pem", "plan.txt")).toMatchObject({
      status: 0,
    });
    expect(readFileSync(at("plan.pem"), "utf8")).toMatch(/^-----BEGIN CMS-----\n/);
    expect(opened("plan.pem", "bob", "PEM").toString()).toBe("the plan\n");
  });

  it("a mail, in which the file is attached", async () => {
    const sealed = await seal("-r", "bob.crt", "--smime", "-o", "out", "plan.txt");
    expect(sealed).toMatchObject({ status: 0, stderr: "" });
    const mail = readFileSync(at("out/plan.txt.eml"), "latin1");
    expect(mail).toMatch(/smime-type=authEnveloped-data/);
    const part = opened("out/plan.txt.eml", "bob", "SMIME").toString();
    expect(part).toContain('filename="plan.txt"');
    expect(Buffer.from(part.split("\r\n\r\n")[1] ?? "", "base64").toString()).toBe("the plan\n");
  });

  it("a mail made of a mail's part, as it is", async () => {
    const part = "Content-Type: text/plain\n\nthe plan\n";
    writeFileSync(at("part"), part);
    expect(await seal("-r", "bob.crt", "--smime", "-o", "plan.eml", "part")).toMatchObject({
      status: 0,
    });
    const found = opened("plan.eml", "bob", "SMIME").toString();
    expect(found).toBe(part.replaceAll("\n", "\r\n"));
  });

  it("a message for windows, which says what it can't do", async () => {
    const sealed = await seal("-r", "rob.crt", "--profile", "windows", "-o", "w.p7m", "plan.txt");
    expect(sealed.status).toBe(0);
    expect(sealed.stderr).toContain("nothing vouches for the content");
    expect(opened("w.p7m", "rob").toString()).toBe("the plan\n");
    const structure = execFileSync("openssl", ["asn1parse", "-inform", "DER", "-in", at("w.p7m")]);
    expect(structure.toString()).toContain("aes-256-cbc");
  });

  it("a message for a key without a certificate, which is noted", async () => {
    const sealed = await seal("-r", "bob.pem", "-o", "plan.p7m", "plan.txt");
    expect(sealed.status).toBe(0);
    expect(sealed.stderr).toContain("without a certificate");
    const args = ["cms", "-decrypt", "-inform", "DER", "-in", "plan.p7m", "-inkey", "bob.key"];
    expect(execFileSync("openssl", args, { cwd: folder }).toString()).toContain("the plan");
  });

  it("what --by-ski names by key identifiers", async () => {
    const sealed = await seal("-r", "rob.crt", "--by-ski", "-o", "plan.p7m", "plan.txt");
    expect(sealed).toMatchObject({ status: 0, stderr: "" });
    const printed = execFileSync(
      "openssl",
      ["cms", "-cmsout", "-print", "-inform", "DER", "-in", at("plan.p7m")],
      { encoding: "utf8" },
    );
    expect(printed).toContain("d.subjectKeyIdentifier");
  });

  it("what is signed inside, in both forms", async () => {
    const signed = ["--sign-with", "alice.key", "--cert", "alice.crt", "--cert", "ca.crt"];
    const mail = await seal("-r", "bob.crt", "--smime", ...signed, "-o", "m.eml", "plan.txt");
    expect(mail).toMatchObject({ status: 0, stderr: "" });
    writeFileSync(at("inner"), opened("m.eml", "bob", "SMIME"));
    const verify = ["cms", "-verify", "-noverify", "-in", "inner"];
    const part = execFileSync("openssl", verify, { cwd: folder, stdio: "pipe" }).toString();
    expect(part).toContain('filename="plan.txt"');

    const file = await seal("-r", "bob.crt", ...signed, "-o", "m.p7m", "plan.txt");
    expect(file).toMatchObject({ status: 0, stderr: "" });
    writeFileSync(at("inner"), opened("m.p7m", "bob"));
    const content = execFileSync("openssl", verify, { cwd: folder, stdio: "pipe" }).toString();
    expect(content).toBe("the plan\n");
  });

  it("what is sealed to the first of a chain", async () => {
    writeFileSync(at("chain.pem"), readFileSync(at("bob.crt"), "utf8") + pem(ca));
    expect(await seal("-r", "chain.pem", "-o", "plan.p7m", "plan.txt")).toMatchObject({
      status: 0,
    });
    expect(opened("plan.p7m", "bob").toString()).toBe("the plan\n");
  });
});

describe("a recipient's certificate", () => {
  const untrusted = (...argv: string[]): Promise<Ended> =>
    run("seal", ...argv, "-o", "plan.p7m", "plan.txt");
  const isWritten = (): boolean => readdirSync(folder).includes("plan.p7m");

  it("is refused if no authority vouches for it", async () => {
    const none = await untrusted("--format", "cms", "-r", "bob.crt");
    expect(none.status).toBe(6);
    expect(none.stderr).toContain("bob.crt: no authority is trusted");
    expect(none.stderr).toContain("--allow-untrusted-cert");
    writeFileSync(at("other.crt"), pem(rootAuthority("Other", { notAfterMs })));
    const other = await untrusted("--format", "cms", "-r", "bob.crt", "--trust", "other.crt");
    expect(other.status).toBe(6);
    expect(isWritten()).toBe(false);
  });

  it("is sealed to all the same with --allow-untrusted-cert, which is noted", async () => {
    const words = ["--format", "cms", "-r", "bob.crt", "--allow-untrusted-cert"];
    const { status, stderr } = await untrusted(...words);
    expect(status).toBe(0);
    expect(stderr).toContain("bob.crt: the certificate is not verified");
    expect(opened("plan.p7m", "bob").toString()).toBe("the plan\n");
  });

  it("is believed by its chain, an authority that is kept, or its owner's name", async () => {
    writeFileSync(at("root.crt"), pem(root));
    writeFileSync(at("chain.pem"), readFileSync(at("bob.crt"), "utf8") + pem(ca));
    const chain = await untrusted("--format", "cms", "-r", "chain.pem", "--trust", "root.crt");
    expect(chain).toMatchObject({ status: 0, stderr: "" });
    const add = ["recipients", "add", "bob", "bob.crt"];
    expect(await run(...add)).toMatchObject({ status: 0 });
    const known = await untrusted("--format", "cms", "-r", "bob", "--force");
    expect(known).toMatchObject({ status: 0, stderr: "" });
    expect(opened("plan.p7m", "bob").toString()).toBe("the plan\n");
    expect(await run("trust", "add", "root", "root.crt")).toMatchObject({ status: 0 });
    const kept = await untrusted("--format", "cms", "-r", "chain.pem", "--force");
    expect(kept).toMatchObject({ status: 0, stderr: "" });
  });

  it("must be valid at --at, and for encryption", async () => {
    const words = ["--format", "cms", "-r", "bob.crt", "--trust", "ca.crt"];
    const late = await untrusted(...words, "--at", "2099-01-01");
    expect(late.status).toBe(6);
    const extensions = [keyUsage("digitalSignature")];
    const keys = testKeyPair("p256");
    writeFileSync(at("bob.crt"), pem(ca.issue({ keys, notAfterMs, extensions })));
    expect((await untrusted(...words)).status).toBe(6);
    expect(isWritten()).toBe(false);
  });

  it("is noted in other formats, and refused where --trust asks for it", async () => {
    const noted = await untrusted("-r", "bob.crt");
    expect(noted.status).toBe(0);
    expect(noted.stderr).toContain("bob.crt: the certificate is not verified");
    const good = await untrusted("-r", "bob.crt", "--trust", "ca.crt", "--force");
    expect(good).toMatchObject({ status: 0, stderr: "" });
    writeFileSync(at("other.crt"), pem(rootAuthority("Other", { notAfterMs })));
    const refused = await untrusted("-r", "bob.crt", "--trust", "other.crt", "--force");
    expect(refused.status).toBe(6);
  });
});

describe("is refused, and nothing written:", () => {
  it.each([
    ["a key blob", ["-r", "bob.crt", "--key-blob", "k"], "ERR_FORMAT_OPTION"],
    ["an end", ["-r", "bob.crt", "--sign-with", "alice.key", "--expires", "7d"], "ERR_FORMAT"],
    ["a curve for windows", ["-r", "bob.crt", "--profile", "windows"], "ERR_KEY_TYPE"],
    ["two forms of text", ["-r", "bob.crt", "--smime", "-a"], "ERR_USAGE"],
    ["a signer's certificate alone", ["-r", "bob.crt", "--cert", "alice.crt"], "ERR_USAGE"],
    [
      "another key's certificate",
      ["-r", "bob.crt", "--sign-with", "alice.key", "--cert", "rob.crt"],
      "ERR_NO_CERTIFICATE",
    ],
    ["a signer without one", ["-r", "bob.crt", "--sign-with", "alice.key"], "ERR_NO_CERTIFICATE"],
    ["an unknown profile", ["-r", "bob.crt", "--profile", "outlook"], "ERR_USAGE"],
  ])("%s", async (_name, argv, code) => {
    const sealed = await seal(...argv, "-o", "plan.p7m", "plan.txt", "--json");
    expect(sealed.status).not.toBe(0);
    expect(sealed.stderr).toContain(code);
    expect(readdirSync(folder)).not.toContain("plan.p7m");
  });

  it.each(["--smime", "--by-ski", "--profile=windows", "--cert=alice.crt"])(
    "%s in another format",
    async (option) => {
      for (const format of ["p11seal", "age"]) {
        const sealed = await run("seal", "--format", format, "-r", "bob.pem", option, "plan.txt");
        expect(sealed.status).toBe(2);
        expect(sealed.stderr).toContain("--format cms");
      }
    },
  );
});
