/**
 * age files by the command line, with keys on a SoftHSM token and in files, both ways with typage.
 */
import { readFileSync, writeFileSync, existsSync, mkdtempSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { ascii } from "../../src/bytes.js";
import { formatAgeRecipient } from "../../src/keys/formats/age-keys.js";
import type { Identity } from "../../src/keys/key.js";
import { ageIdentities } from "../../src/software/age-identities.js";
import { publicPem, TEST_KEYS } from "../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../support/softhsm.js";
import { armor, Decrypter, Encrypter } from "../support/typage.js";
import { temporaryFolder } from "./support/folder.js";
import { p11seal, type Ended } from "./support/spawn.js";

const root = temporaryFolder();
const SECRET = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
let token: TestToken;
let folder: string;

const uriOf = (label: string): string => `${token.uri};object=${label}`;
const at = (name: string): string => join(folder, name);
const has = (name: string): boolean => existsSync(at(name));

const run = (...argv: string[]): Promise<Ended> => runWith(`env:THE_PIN`, argv);
const runWith = (source: string, argv: readonly string[]): Promise<Ended> =>
  p11seal(argv, {
    cwd: folder,
    env: {
      P11SEAL_HOME: join(folder, "home"),
      P11SEAL_MODULE: SOFTHSM_MODULE,
      P11SEAL_PIN_SOURCE: source,
      THE_PIN: USER_PIN,
    },
  });

async function encrypted(plaintext: string, ...to: readonly string[]): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  for (const recipient of to) encrypter.addRecipient(recipient);
  return encrypter.encrypt(ascii(plaintext));
}

async function exported(label: string): Promise<{ recipient: string; notes: string }> {
  const { status, stdout, stderr } = await run("keys", "export", uriOf(label), "--format", "age");
  expect({ status, stderr }).toMatchObject({ status: 0 });
  return { recipient: stdout.toString().trim(), notes: stderr };
}

beforeAll(async () => {
  token = await freshToken("age-holder");
  const DERIVE = true;
  const id = (byte: number): Uint8Array => Uint8Array.of(byte);
  await importKey(token, TEST_KEYS.p256, { label: "tag", id: id(1), privateHalf: { DERIVE } });
  await importKey(token, TEST_KEYS.p384, { label: "p384", id: id(2), privateHalf: { DERIVE } });
  folder = mkdtempSync(join(root, "run-"));
  for (const [label, ...more] of [["unwrap"], ["decrypt", "--allow-decrypt"]] as const) {
    const made = await run(
      ...["keys", "generate", "--token", token.uri, "--type", "rsa:2048", "--label", label],
      ...more,
    );
    expect({ status: made.status, stderr: made.stderr }).toMatchObject({ status: 0 });
  }
});

beforeEach(() => {
  folder = mkdtempSync(join(root, "run-"));
  writeFileSync(at("x.pem"), TEST_KEYS.x25519, { mode: 0o600 });
  writeFileSync(at("x-pub.pem"), publicPem(TEST_KEYS.x25519));
  writeFileSync(at("age.txt"), `# made by age-keygen\n${SECRET}\n`, { mode: 0o600 });
  writeFileSync(at("1.txt"), "content of 1\n");
  writeFileSync(at("2.txt"), "content of 2\n");
});

describe("a token's key, exported for senders with age,", () => {
  it("is age1tag1… for P-256, whose files open with the token", async () => {
    const { recipient } = await exported("tag");
    expect(recipient).toMatch(/^age1tag1[0-9a-z]+$/);
    writeFileSync(at("m.age"), await encrypted("from typage\n", recipient));
    const { stdout, status } = await run("open", "m.age");
    expect([status, stdout.toString()]).toEqual([0, "from typage\n"]);
  });

  it("is an ssh-rsa line, with a note where the token can't undo OAEP with a label", async () => {
    const unwrap = await exported("unwrap");
    expect(unwrap.recipient).toMatch(/^ssh-rsa [A-Za-z0-9+/=]+ unwrap$/);
    expect(unwrap.notes).toContain("cannot open what age seals to this key");
    const decrypt = await exported("decrypt");
    expect(decrypt.notes).not.toContain("cannot open");
  });

  it("is judged by doctor without a file, before a PIN", async () => {
    const asked = "cmd:echo x >> asked; echo 1";
    const said = async (...argv: string[]): Promise<string> =>
      (await runWith(asked, ["doctor", "-i", token.uri, ...argv])).stdout.toString();
    const lines = await said();
    expect(lines.match(/as age's ssh-rsa: .*/g)?.sort()).toEqual([
      expect.stringMatching(/may open with C_Decrypt CKM_RSA_X_509, OAEP sha256 on the host/),
      expect.stringMatching(/opens nothing: the token takes no OAEP label.*may not decrypt/),
    ]);
    const { modules } = JSON.parse(await said("--json")) as {
      modules: { tokens: { keys: { label: string; agePlan?: { key: string } }[] }[] }[];
    };
    const keys = modules.flatMap(({ tokens }) => tokens.flatMap((one) => one.keys));
    const judged = keys.filter(({ agePlan }) => agePlan !== undefined).map(({ label }) => label);
    expect(new Set(judged)).toEqual(new Set(["unwrap", "decrypt"]));
    expect(has("asked")).toBe(false);
  });

  it("is refused for a curve that age has no recipient for", async () => {
    const { status, stdout, stderr } = await run(
      "keys",
      "export",
      uriOf("p384"),
      "--format",
      "age",
    );
    expect([status, stdout.length]).toEqual([1, 0]);
    expect(stderr).toContain("age can't address a key of type P-384");
  });

  it("is listed", async () => {
    const { recipient } = await exported("tag");
    const listed = await run("keys", "list", token.uri, "--json");
    const { keys } = JSON.parse(listed.stdout.toString()) as {
      keys: { label: string; age: string }[];
    };
    expect(Object.fromEntries(keys.map(({ label, age }) => [label, age]))).toMatchObject({
      ...{ tag: recipient, p384: null },
      unwrap: expect.stringMatching(/^ssh-rsa /),
    });
    expect((await run("keys", "list", token.uri)).stdout.toString()).toContain(recipient);
  });
});

describe("seal --format age", () => {
  it("addresses keys of every kind, for age and for p11seal", async () => {
    const { recipient } = await exported("tag");
    const { status, stderr } = await run(
      ...["seal", "--format", "age", "-r", recipient, "-r", uriOf("decrypt")],
      ...["--oaep", "sha256"],
      ...["-r", "x-pub.pem", "-o", "m.age", "1.txt"],
    );
    expect({ status, stderr }).toMatchObject({ status: 0 });
    for (const identity of [uriOf("tag"), uriOf("decrypt"), "x.pem"]) {
      const opened = await run("open", "-i", identity, "m.age");
      expect([identity, opened.status, opened.stdout.toString()]).toEqual([
        ...[identity, 0, "content of 1\n"],
      ]);
    }
  });

  it("writes what typage opens, binary and as text", async () => {
    const decrypter = new Decrypter();
    decrypter.addIdentity(SECRET);
    const own = await recipientOfSecret();
    const textIn = async (file: Uint8Array): Promise<string> =>
      Buffer.from(await decrypter.decrypt(file)).toString();
    expect((await run("seal", "--format", "age", "-r", own, "-o", "m.age", "1.txt")).status).toBe(
      0,
    );
    expect(await textIn(readFileSync(at("m.age")))).toBe("content of 1\n");
    const { stdout } = await run("seal", "--format", "age", "-a", "-r", own, "2.txt");
    expect(stdout.toString()).toMatch(/^-----BEGIN AGE ENCRYPTED FILE-----\n/);
    expect(await textIn(armor.decode(stdout.toString()))).toBe("content of 2\n");
    writeFileSync(at("armored.age"), stdout);
    const opened = await run("open", "-i", "age.txt", "armored.age");
    expect(opened.stdout.toString()).toBe("content of 2\n");
  });

  it("seals and opens several files, whose names end in .age meanwhile", async () => {
    const { recipient } = await exported("tag");
    mkdirSync(at("out"));
    const sealed = await run(
      "seal",
      "--format",
      "age",
      "-r",
      recipient,
      "-o",
      "out",
      "1.txt",
      "2.txt",
    );
    expect([sealed.status, has("out/1.txt.age"), has("out/2.txt.age")]).toEqual([0, true, true]);
    const asked = `cmd:echo x >> asked; echo ${USER_PIN}`;
    const opened = await runWith(asked, ["open", "out/1.txt.age", "out/2.txt.age"]);
    expect({ status: opened.status, stderr: opened.stderr }).toMatchObject({ status: 0 });
    expect(readFileSync(at("out/2.txt"), "utf8")).toBe("content of 2\n");
    expect(readFileSync(at("asked"), "utf8")).toBe("x\n");
  });

  it.each([
    [["--sign-with", "x.pem"], "age files are not signed"],
    [["--oaep", "sha1"], "--oaep with --format age"],
    [["--key-blob", "k"], "--key-blob with --format age"],
    [["--expires", "7d"], "--expires with --format age"],
  ])("has no place for %j", async (options, said) => {
    const { recipient } = await exported("tag");
    const { status, stderr } = await run(
      ...["seal", "--format", "age", "-r", recipient, ...options, "-o", "m.age", "1.txt"],
    );
    expect([status, has("m.age")]).toEqual([2, false]);
    expect(stderr).toContain(said);
  });

  it("refuses a key that its token could not open it with", async () => {
    const { status, stderr } = await run(
      ...["seal", "--format", "age", "-r", uriOf("unwrap"), "-o", "m.age", "1.txt"],
    );
    expect([status, has("m.age")]).toEqual([6, false]);
    expect(stderr).toContain("can only undo RSA-OAEP sha1");
  });
});

describe("an age file", () => {
  it("for an RSA key that can't undo a label is not opened, and doctor says so", async () => {
    const line = (await exported("unwrap")).recipient;
    const { status } = await run(
      ...["seal", "--format", "age", "-r", line, "-o", "m.age", "1.txt"],
    );
    expect(status).toBe(0);
    const asked = "cmd:echo x >> asked; echo 1";
    const judged = await runWith(asked, ["doctor", "-i", uriOf("unwrap"), "m.age"]);
    expect(judged.status).not.toBe(0);
    expect(judged.stdout.toString()).toContain("will not open");
    expect(judged.stdout.toString()).toContain("and a label");
    expect(has("asked")).toBe(false);
    expect((await run("open", "-i", uriOf("unwrap"), "-o", "out.txt", "m.age")).status).not.toBe(0);
    expect(has("out.txt")).toBe(false);
  });

  it("is never from anybody: a policy refuses it, before a PIN", async () => {
    const { recipient } = await exported("tag");
    writeFileSync(at("m.age"), await encrypted("who says so?\n", recipient));
    const known = await run("senders", "add", "bob", uriOf("p384"));
    expect(known.status).toBe(0);
    const asked = "cmd:echo x >> asked; echo 1";
    const { status, stderr } = await runWith(asked, [
      "open",
      "--from",
      "bob",
      "-o",
      "out",
      "m.age",
    ]);
    expect([status, has("out"), has("asked")]).toEqual([6, false, false]);
    expect(stderr).toContain("not signed");
  });

  it("that was altered leaves an existing output as it was", async () => {
    const { recipient } = await exported("tag");
    const file = Buffer.from(await encrypted("x".repeat(200_000), recipient));
    for (const at of [file.length - 1, file.indexOf("\n--- ") + 10, file.length - 100_000]) {
      const bad = Buffer.from(file);
      bad[at] = (bad[at] ?? 0) ^ 4;
      writeFileSync(join(folder, "bad.age"), bad);
      writeFileSync(join(folder, "out"), "as it was");
      const { status } = await run("open", "--force", "-o", "out", "bad.age");
      expect([status, readFileSync(join(folder, "out"), "utf8")]).toEqual([4, "as it was"]);
    }
  });

  it("is inspected: whom it is for, as far as it says", async () => {
    const { recipient } = await exported("tag");
    writeFileSync(at("m.age"), await encrypted("x", recipient, await recipientOfSecret()));
    const { stdout, status } = await run("inspect", "m.age");
    expect(status).toBe(0);
    expect(stdout.toString()).toMatch(/age[^]*p256tag[^]*X25519/);
  });
});

async function recipientOfSecret(): Promise<string> {
  const [identity] = await ageIdentities(SECRET, "age.txt");
  return formatAgeRecipient((identity as Identity).publicKey);
}
