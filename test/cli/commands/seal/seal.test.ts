/**
 * Several files in one run of `seal`: one message each, in order, whatever the others do; and
 * messages as text.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { inspectMessage as inspect } from "../../../../src/envelope/messages.js";
import { publicPem, TEST_KEYS } from "../../../support/keys.js";
import {
  freshToken,
  importKey,
  SOFTHSM_MODULE,
  type TestToken,
  USER_PIN,
} from "../../../support/softhsm.js";
import { temporaryFolder } from "../../support/folder.js";
import { p11seal, PROGRAM, startProgram, type Ended } from "../../support/spawn.js";

const root = temporaryFolder();
const names = ["1.txt", "2.txt", "3.txt"];
let folder: string;
let token: TestToken;

beforeAll(async () => {
  token = await freshToken("sealer");
  await importKey(token, TEST_KEYS.p384, {
    label: "sign",
    id: Uint8Array.of(1),
    privateHalf: { SIGN: true },
  });
});

beforeEach(() => {
  folder = mkdtempSync(join(root, "run-"));
  writeFileSync(join(folder, "bob.pem"), publicPem(TEST_KEYS.p256));
  writeFileSync(join(folder, "bob.key"), TEST_KEYS.p256, { mode: 0o600 });
  for (const name of names) writeFileSync(join(folder, name), `content of ${name}\n`);
  mkdirSync(join(folder, "out"));
});

const run = (...argv: string[]): Promise<Ended> =>
  p11seal(argv, {
    cwd: folder,
    env: { P11SEAL_HOME: join(folder, "home"), P11SEAL_MODULE: SOFTHSM_MODULE },
  });
const seal = (...argv: string[]): Promise<Ended> => run("seal", "-r", "bob.pem", ...argv);
const has = (name: string): boolean => existsSync(join(folder, name));

async function contentOf(name: string): Promise<string> {
  const { stdout, status } = await run("open", "-i", "bob.key", "-o", "-", name);
  expect(status).toBe(0);
  return stdout.toString();
}

interface Inspected {
  readonly sender: { readonly serial: string | number };
}

async function serialOf(name: string): Promise<number> {
  const { stdout } = await run("inspect", "--json", name);
  return Number((JSON.parse(stdout.toString()) as Inspected).sender.serial);
}

describe("several files", () => {
  it("are sealed into a folder, or each beside itself", async () => {
    expect(await seal("-o", "out", ...names)).toMatchObject({ status: 0, stderr: "" });
    expect(await seal(...names.map((name) => join(folder, name)))).toMatchObject({ status: 0 });
    for (const name of names) {
      expect(await contentOf(`out/${name}.p11s`)).toBe(`content of ${name}\n`);
      expect(await contentOf(`${name}.p11s`)).toBe(`content of ${name}\n`);
    }
  });

  it("and one file with a folder alike", async () => {
    expect(await seal("-o", "out/", "1.txt")).toMatchObject({ status: 0 });
    expect(await contentOf("out/1.txt.p11s")).toBe("content of 1.txt\n");
  });

  it("are sealed though one fails; its error names it", async () => {
    writeFileSync(join(folder, "3.txt.p11s"), "mine");
    const { status, stderr } = await seal("1.txt", "missing", "out", "3.txt", "2.txt");
    expect(status).toBe(1);
    expect(stderr.match(/^p11seal: [^:]*/gm)).toEqual([
      "p11seal: missing",
      "p11seal: out",
      "p11seal: 3.txt",
    ]);
    expect([has("1.txt.p11s"), has("2.txt.p11s"), has("missing.p11s")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(readFileSync(join(folder, "3.txt.p11s"), "utf8")).toBe("mine");
  });

  it("are signed with one PIN, a serial number each, in their order", async () => {
    const signing = [
      "--sign-with",
      `${token.uri};object=sign`,
      "--pin-source",
      `cmd:echo x >> asked; echo ${USER_PIN}`,
    ];
    writeFileSync(join(folder, "2.txt.p11s"), "in the way");
    const { status, stderr } = await seal(...signing, ...names);
    expect({ status, stderr }).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("2.txt"),
    });
    // A file whose output was refused took no number.
    expect([await serialOf("1.txt.p11s"), await serialOf("3.txt.p11s")]).toEqual([1, 2]);
    expect(readFileSync(join(folder, "asked"), "utf8")).toBe("x\n");
  });

  it("end with a wrong PIN, which is sent once", async () => {
    const signing = [
      "--sign-with",
      `${token.uri};object=sign`,
      "--pin-source",
      "cmd:echo x >> asked; echo 9999",
    ];
    const { status, stderr } = await seal(...signing, ...names);
    expect(status).toBe(5);
    expect(stderr).toContain("2 more not sealed");
    expect(readFileSync(join(folder, "asked"), "utf8")).toBe("x\n");
    expect(names.filter((name) => has(`${name}.p11s`))).toEqual([]);
  });

  it.each([
    ["two of one name", ["-o", "out", "1.txt", "../FOLDER/1.txt"], "two outputs have the name"],
    ["a result that replaces an input", ["--force", "1.txt", "1.txt.p11s"], "another input"],
    ["no folder", ["-o", "new", "1.txt", "2.txt"], "is not a folder"],
    ["stdin, which has no name", ["-o", "out", "1.txt", "-"], "stdin has no name"],
    ["one key blob for all", ["--key-blob", "k", "1.txt", "2.txt"], "belongs to one message"],
  ])("refused before anything is sealed: %s", async (_, argv, fact) => {
    writeFileSync(join(folder, "1.txt.p11s"), "sealed before");
    const here = folder.slice(root.length + 1);
    const { status, stderr } = await seal(...argv.map((word) => word.replace("FOLDER", here)));
    expect(status).toBe(2);
    expect(stderr).toContain(fact);
    expect([has("out/1.txt.p11s"), has("2.txt.p11s")]).toEqual([false, false]);
    expect(readFileSync(join(folder, "1.txt.p11s"), "utf8")).toBe("sealed before");
  });
});

describe("open with one file", () => {
  it("notes that it goes to stdout, if messages go there too", async () => {
    await seal("-o", "1.txt.p11s", "1.txt");
    const shell = `exec "${process.execPath}" "${PROGRAM}" open -i bob.key 1.txt.p11s 2>&1`;
    const together = await startProgram("sh", ["-c", shell], { cwd: folder }).ended;
    expect(together.stdout.toString()).toBe(
      "p11seal: one file is opened to stdout; -o FOLDER writes it to a file, as with several\n" +
        "content of 1.txt\n",
    );
    expect((await run("open", "-i", "bob.key", "1.txt.p11s")).stderr).toBe("");
  });
});

describe("a message as text", () => {
  it("goes where text goes, and opens from there", async () => {
    const { stdout, status } = await seal("-a", "-o", "-", "1.txt");
    expect(status).toBe(0);
    expect(stdout.toString()).toMatch(
      /^-----BEGIN P11SEAL MESSAGE-----\n[^]*\n-----END P11SEAL MESSAGE-----\n$/,
    );
    writeFileSync(join(folder, "m.txt"), `\n${stdout.toString().replaceAll("\n", "\r\n")}\n`);
    expect(await contentOf("m.txt")).toBe("content of 1.txt\n");
    const inspected = await run("inspect", "-i", "bob.key", "m.txt");
    expect(inspected.status).toBe(0);
  });

  it("is signed, numbered and accepted once as any other", async () => {
    const uri = `${token.uri};object=sign`;
    const env = { P11SEAL_PIN_SOURCE: "env:THE_PIN", THE_PIN: USER_PIN };
    const known = await run("senders", "add", "me", uri);
    expect(known.status).toBe(0);
    const signed = await p11seal(
      ["seal", "-a", "-r", "bob.pem", "--sign-with", uri, "-o", "m.txt", "1.txt"],
      {
        cwd: folder,
        env: { P11SEAL_HOME: join(folder, "home"), P11SEAL_MODULE: SOFTHSM_MODULE, ...env },
      },
    );
    expect(signed.status).toBe(0);
    const open = (to: string): Promise<Ended> =>
      run("open", "-i", "bob.key", "--from", "me", "-o", to, "m.txt");
    expect((await open("once")).status).toBe(0);
    expect(readFileSync(join(folder, "once"), "utf8")).toBe("content of 1.txt\n");
    const again = await open("twice");
    expect([again.status, has("twice")]).toEqual([6, false]);
  });

  it("is large, and comes back; cut anywhere, nothing does", async () => {
    const content = randomBytes(9_000_000);
    writeFileSync(join(folder, "large"), content);
    expect((await seal("-a", "-o", "m.txt", "large")).status).toBe(0);
    const opened = await run("open", "-i", "bob.key", "-o", "whole", "m.txt");
    expect(opened.status).toBe(0);
    expect(Buffer.compare(readFileSync(join(folder, "whole")), content)).toBe(0);
    const armor = readFileSync(join(folder, "m.txt"));
    const bad = [1000, 6_000_000, armor.length - 33, armor.length - 2].map((length) =>
      armor.subarray(0, length),
    );
    for (const bytes of [...bad, Buffer.concat([armor, Buffer.from("more\n")])]) {
      writeFileSync(join(folder, "bad.txt"), bytes);
      const { status } = await run("open", "-i", "bob.key", "-o", "bad", "bad.txt");
      expect([status, has("bad")]).toEqual([4, false]);
    }
  });

  it("has no part apart", async () => {
    const { status, stderr } = await seal("-a", "--key-blob", "k", "-o", "m", "1.txt");
    expect([status, has("k"), has("m")]).toEqual([2, false, false]);
    expect(stderr).toContain("--armor is for whole messages");
  });
});

describe("the header of a message", () => {
  const headerOf = async (name: string) =>
    (await inspect(readFileSync(join(folder, name)))).headerBytes;

  it("is padded to 4,096 bytes in a file of 1 MiB or more, and nowhere else", async () => {
    const large = new Uint8Array(2 ** 20);
    writeFileSync(join(folder, "large"), large);
    writeFileSync(join(folder, "less"), large.subarray(1));
    expect((await seal("-o", "out", "large", "less")).status).toBe(0);
    expect(await headerOf("out/large.p11s")).toBe(4096);
    expect(await headerOf("out/less.p11s")).toBe(204);

    expect((await seal("--armor", "-o", "large.asc", "large")).status).toBe(0);
    expect(await headerOf("large.asc")).toBe(204);
    expect((await seal("--key-blob", "large.p11k", "-o", "body", "large")).status).toBe(0);
    expect(await headerOf("large.p11k")).toBe(204);
    const { stdout } = await seal("-o", "-", "large");
    expect((await inspect(stdout)).headerBytes).toBe(204);

    const { stdout: opened } = await run("open", "-i", "bob.key", "-o", "-", "out/large.p11s");
    expect(Buffer.compare(opened, large)).toBe(0);
  });
});
