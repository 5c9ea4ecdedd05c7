/** `p11seal sign` and `verify`: signatures over files, with keys in files and on a token. */
import { spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { DAY_MS, pemOf, personal, rootAuthority } from "../../../support/certificates.js";
import { freshToken, softHsmEnvironment, USER_PIN } from "../../../support/softhsm.js";
import { temporaryFolder } from "../../support/folder.js";
import { writePerson } from "../../support/people.js";
import { errorCode, run, type Outcome, type RunOptions } from "../../support/run.js";

const folder = temporaryFolder();
const now = Date.now();
const times = { notBeforeMs: now - DAY_MS, notAfterMs: now + 30 * DAY_MS };
const env = softHsmEnvironment(join(folder, "home"));
const CONTENT = "one\ntwo\n";
/** The token's URI. */
let token: string;

function p11seal(argv: string, options: RunOptions = {}): Promise<Outcome> {
  return run(argv.split(" "), { env, ...options });
}

const dataOf = ({ stdout }: Outcome): unknown => JSON.parse(stdout.toString());

function openssl(...args: readonly string[]): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync("openssl", args, { cwd: folder });
  return { status, stderr: stderr.toString() };
}

const verifiesWithOpenssl = (signature: string, content: string): unknown =>
  openssl(
    ...["cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", signature],
    ...["-content", content, "-CAfile", "root.pem", "-purpose", "any", "-out", "out"],
  );

beforeAll(async () => {
  process.chdir(folder);
  const root = rootAuthority("Root", times);
  const between = root.authority("Between", times);
  writeFileSync("root.pem", pemOf("CERTIFICATE", root.certificate.der));
  const pairs = {
    bob: generateKeyPairSync("rsa", { modulusLength: 2048 }),
    zoe: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  };
  for (const [name, keys] of Object.entries(pairs)) {
    const person = between.issue({ ...personal(name, "digitalSignature"), ...times, keys });
    writePerson(folder, name, person, [between, root]);
  }
  writeFileSync("plan.txt", CONTENT);
  await p11seal("senders add bob bob.crt");

  token = (await freshToken("signer")).uri;
  writeFileSync("pin", `${USER_PIN}\n`, { mode: 0o600 });
  for (const type of ["rsa:2048", "ec:p256"]) {
    const name = type.replace(":", "-");
    const made = await run(
      [
        ...["keys", "generate", "--token", token, "--label", name, "--type", type],
        ...["--use", "sign", "-o", `${name}.pub`, "--pin-source", "file:pin"],
      ],
      { env },
    );
    expect(made).toMatchObject({ status: 0 });
    const publicKey = createPublicKey(readFileSync(`${name}.pub`));
    const own = between.certify(publicKey, { ...personal(name, "digitalSignature"), ...times });
    const all = [own, between.certificate, root.certificate].map(({ der }) => der);
    writeFileSync(`${name}.crt`, pemOf("CERTIFICATE", ...all));
  }
});

describe("a signature", () => {
  it("lies beside its file, holds for OpenSSL, and is by somebody known", async () => {
    expect(await p11seal("sign -k bob.key --cert bob.crt plan.txt")).toMatchObject({ status: 0 });
    expect(verifiesWithOpenssl("plan.txt.p7s", "plan.txt")).toMatchObject({ status: 0 });
    const { status, stdout } = await p11seal("verify plan.txt.p7s");
    expect(status).toBe(0);
    const text = stdout.toString();
    expect(text).toMatch(/^signed by +CN=bob,O=Example$/m);
    expect(text).toMatch(/^mail +bob@example.org$/m);
    expect(text).toMatch(/^known as +bob$/m);
    expect(text).toMatch(/^signature +RSA SHA-256, holds$/m);
    expect(dataOf(await p11seal("verify plan.txt.p7s --from bob --json"))).toMatchObject({
      file: "plan.txt.p7s",
      content: "plan.txt",
      signers: [{ name: "bob", algorithm: "RSA SHA-256", bound: true, lineEnds: "as-is" }],
    });
  });

  it("of an RSA key can be RSASSA-PSS", async () => {
    await p11seal("sign -k bob.key --cert bob.crt --pss -o pss.p7s plan.txt");
    expect(verifiesWithOpenssl("pss.p7s", "plan.txt")).toMatchObject({ status: 0 });
    const verified = await p11seal("verify --content plan.txt pss.p7s --json");
    expect(dataOf(verified)).toMatchObject({ signers: [{ algorithm: "RSA-PSS SHA-256" }] });
  });

  it("carries the issuers' certificates, but not the anchor", async () => {
    await p11seal("sign -k bob.key --cert bob.crt -o chain.p7s plan.txt");
    const shown = spawnSync("openssl", [
      "pkcs7",
      "-inform",
      "DER",
      "-in",
      "chain.p7s",
      "-print_certs",
      "-noout",
    ]);
    const subjects = shown.stdout.toString().match(/^subject=.*$/gm);
    expect(subjects?.sort()).toEqual(["subject=CN = Between", "subject=O = Example, CN = bob"]);
  });

  it("takes the certificate that lies in the key's file", async () => {
    await p11seal("sign -k zoe-both.pem -o zoe.p7s plan.txt");
    expect(verifiesWithOpenssl("zoe.p7s", "plan.txt")).toMatchObject({ status: 0 });
    expect(errorCode(await p11seal("sign -k zoe.key -o no.p7s plan.txt --json"))).toBe(
      "ERR_NO_CERTIFICATE",
    );
    expect(
      errorCode(await p11seal("sign -k zoe.key --cert bob.crt -o no.p7s plan.txt --json")),
    ).toBe("ERR_NO_CERTIFICATE");
    expect(existsSync("no.p7s")).toBe(false);
  });

  it("is over files of any number and folder, from stdin, and as text", async () => {
    writeFileSync("a", "a");
    writeFileSync("b", "b");
    await p11seal("sign -k bob.key --cert bob.crt a b");
    expect(await p11seal("verify a.p7s")).toMatchObject({ status: 0 });
    expect(await p11seal("verify b.p7s")).toMatchObject({ status: 0 });
    const signed = await p11seal("sign -k bob.key --cert bob.crt -a -", { stdin: "a" });
    expect(signed.stdout.toString()).toMatch(/^-----BEGIN CMS-----\n/);
    const verified = await p11seal("verify --content a", { stdin: signed.stdout });
    expect(verified).toMatchObject({ status: 0 });
  });

  it("replaces nothing, unless it is told to", async () => {
    writeFileSync("c", "c");
    await p11seal("sign -k bob.key --cert bob.crt c");
    expect(errorCode(await p11seal("sign -k bob.key --cert bob.crt c --json"))).toBe("ERR_EXISTS");
    expect(await p11seal("sign -k bob.key --cert bob.crt c --force")).toMatchObject({ status: 0 });
  });

  it.each(["rsa-2048", "ec-p256"])("is made by a key on a token: %s", async (name) => {
    const key = `${token};object=${name}`;
    const argv = `sign -k ${key} --cert ${name}.crt --pin-source file:pin -o ${name}.p7s plan.txt`;
    expect(await p11seal(argv)).toMatchObject({ status: 0 });
    expect(verifiesWithOpenssl(`${name}.p7s`, "plan.txt")).toMatchObject({ status: 0 });
  });

  it("is made with the certificate that lies on the token", async () => {
    const key = `${token};object=ec-p256`;
    await p11seal(`keys import-cert ${key} ec-p256.crt --pin-source file:pin`);
    const made = await p11seal(`sign -k ${key} --pin-source file:pin -o token.p7s plan.txt`);
    expect(made).toMatchObject({ status: 0 });
    expect(
      openssl(
        "cms",
        "-verify",
        "-noverify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "token.p7s",
        "-content",
        "plan.txt",
        "-out",
        "out",
      ),
    ).toMatchObject({ status: 0 });
  });
});

describe("a message with its content", () => {
  it("gives the content only to whoever checks it", async () => {
    const made = await p11seal("sign -k bob.key --cert bob.crt --opaque plan.txt");
    expect(made).toMatchObject({ status: 0 });
    // It holds the content as it is.
    expect(statSync("plan.txt.p7m").mode & 0o077).toBe(0);
    expect(await p11seal("verify -o plan.out plan.txt.p7m")).toMatchObject({ status: 0 });
    expect(readFileSync("plan.out", "utf8")).toBe(CONTENT);
    const piped = await p11seal("verify -o - plan.txt.p7m");
    expect(piped.stdout.toString()).toBe(CONTENT);
    expect(piped.stderr).toContain("known as");
  });

  it("of any length", async () => {
    const content = randomBytes(3_000_000);
    writeFileSync("long", content);
    await p11seal("sign -k bob.key --cert bob.crt --opaque long");
    expect(await p11seal("verify -o long.out long.p7m")).toMatchObject({ status: 0 });
    expect(readFileSync("long.out").equals(content)).toBe(true);
    const altered = readFileSync("long.p7m");
    altered[2_000_000] = (altered[2_000_000] ?? 0) ^ 1;
    writeFileSync("altered.p7m", altered);
    expect(errorCode(await p11seal("verify -o no.out altered.p7m --json"))).toBe(
      "ERR_CONTENT_MISMATCH",
    );
    expect(existsSync("no.out")).toBe(false);
    const piped = await p11seal("verify -o - altered.p7m");
    expect(piped).toMatchObject({ status: 4, stdout: Buffer.alloc(0) });
  });

  it("cut off anywhere gives nothing", async () => {
    const whole = readFileSync("plan.txt.p7m");
    for (const length of [0, 1, 30, 100, whole.length - 1]) {
      writeFileSync("cut.p7m", whole.subarray(0, length));
      const { status } = await p11seal("verify -o no.out cut.p7m");
      expect(status).not.toBe(0);
      expect(existsSync("no.out")).toBe(false);
    }
  });
});

describe("a signer whom nobody knows", () => {
  beforeAll(async () => {
    await p11seal("sign -k zoe-both.pem -o unknown.p7s plan.txt");
    await p11seal("sign -k zoe-both.pem --opaque -o unknown.p7m plan.txt");
  });

  it("does not pass, although the signature holds", async () => {
    const verified = await p11seal("verify --content plan.txt unknown.p7s --json");
    expect(verified.status).toBe(6);
    expect(errorCode(verified)).toBe("ERR_SENDER_UNKNOWN");
    expect(dataOf(verified)).toMatchObject({ signers: [{ name: null }] });
    expect((await p11seal("verify -o no.out unknown.p7m")).status).toBe(6);
    expect(existsSync("no.out")).toBe(false);
  });

  it("is told by name, if that is all that is asked", async () => {
    const verified = await p11seal("verify --any-signer --content plan.txt unknown.p7s");
    expect(verified.status).toBe(0);
    expect(verified.stdout.toString()).toMatch(/^signed by +CN=zoe,O=Example$/m);
    expect(verified.stderr).toContain("nobody vouches");
  });

  it("is not one that was asked for", async () => {
    await p11seal("senders add zoe zoe.crt");
    expect((await p11seal("verify --content plan.txt unknown.p7s")).status).toBe(0);
    const other = await p11seal("verify --from bob --content plan.txt unknown.p7s --json");
    expect(errorCode(other)).toBe("ERR_SENDER_UNEXPECTED");
  });
});

describe("what can't be checked", () => {
  it("is a signature whose file is not there", async () => {
    writeFileSync("alone.p7s", readFileSync("plan.txt.p7s"));
    expect(errorCode(await p11seal("verify alone.p7s --json"))).toBe("ERR_DETACHED");
  });

  it("is another file's signature", async () => {
    writeFileSync("other", "other");
    const verified = await p11seal("verify --content other plan.txt.p7s --json");
    expect(verified.status).toBe(4);
    expect(errorCode(verified)).toBe("ERR_CONTENT_MISMATCH");
  });

  it("is told with other line ends, and passes as such", async () => {
    writeFileSync("crlf", CONTENT.replaceAll("\n", "\r\n"));
    await p11seal("sign -k bob.key --cert bob.crt crlf");
    const verified = await p11seal("verify --content plan.txt crlf.p7s");
    expect(verified.status).toBe(0);
    expect(verified.stdout.toString()).toMatch(/^signature .*, with line ends CR LF$/m);
  });

  it("is a mail from another address than the certificate's", async () => {
    const args = ["-signer", "bob.crt", "-inkey", "bob.key", "-from", "eve@example.com"];
    openssl("cms", "-sign", "-in", "plan.txt", "-text", ...args, "-out", "mail.eml");
    const verified = await p11seal("verify mail.eml");
    expect(verified.status).toBe(0);
    expect(verified.stderr).toContain("the mail says that it is from eve@example.com");
  });
});
