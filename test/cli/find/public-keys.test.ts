/** One word, one key: what names a key for one command names the same key for the others. */
import { createPublicKey } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../support/keys.js";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { run, type Outcome } from "../support/run.js";

const folder = temporaryFolder();
const home = join(folder, "home");
const jwk = JSON.stringify(createPublicKey(TEST_KEYS.rsa2048).export({ format: "jwk" }));

beforeAll(() => {
  writeKeys(folder);
  mkdirSync(home, { mode: 0o700 });
  writeFileSync(join(home, "recipients"), "alice = alice.pem\n", { mode: 0o600 });
  writeFileSync(join(home, "alice.pem"), publicPem(TEST_KEYS.rsa2048));
  process.chdir(folder);
});

beforeEach(() => {
  for (const name of ["k.blob", "m.bin", "m.p11s"]) rmSync(name, { force: true });
});

const cli = (...argv: string[]): Promise<Outcome> =>
  run(argv, { env: { P11SEAL_HOME: home }, stdin: "meet at noon" });

const seal = (word: string): Promise<Outcome> => cli("seal", "-r", word, "-o", "m.p11s");
const send = (word: string): Promise<Outcome> =>
  cli("capi", "send", "--to", word, "--blob", "k.blob", "--cipher", "m.bin");

describe.each([
  ["seal", seal, "m.p11s"],
  ["capi send", send, "m.bin"],
] as const)("%s", (_name, to, made) => {
  it.each([
    ["a path", "alice.pem"],
    ["a JWK", jwk],
    ["a name in the recipients file, whose paths are relative to it", "alice"],
    ["the same in other letters", "Alice"],
  ])("takes %s", async (_form, word) => {
    expect((await to(word)).status).toBe(0);
    expect(existsSync(made)).toBe(true);
  });

  it("refuses a name that stands in both lists", async () => {
    const limits = ["--not-after", "2999-01-01"];
    expect((await cli("recipients", "add", "alice", "alice.pem", ...limits)).status).toBe(0);
    try {
      const { status, stderr } = await to("alice");
      expect({ status, stderr }).toMatchObject({
        status: 2,
        stderr: expect.stringContaining(`"alice" stands in ${home}`) as unknown,
      });
      expect(existsSync(made)).toBe(false);
    } finally {
      expect((await cli("recipients", "remove", "alice", "--yes")).status).toBe(0);
    }
  });

  it("says that a name wins over a file", async () => {
    writeFileSync("alice", publicPem(TEST_KEYS.p256));
    const { stderr } = await to("alice");
    rmSync("alice");
    expect(stderr).toContain("write ./alice for the file here");
  });
});

it("a word that is neither is a fault of usage for seal, and a missing file for capi", async () => {
  expect(await seal("nobody")).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("neither a file nor a known name") as unknown,
  });
  expect(await send("nobody")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('cannot read "nobody"') as unknown,
  });
});

it("a key gets a name from stdin, which is called so", async () => {
  const pem = publicPem(TEST_KEYS.rsa2048);
  const add = await run(["senders", "add", "carol"], { env: { P11SEAL_HOME: home }, stdin: pem });
  expect(add.status).toBe(0);
  const shown = await cli("senders", "show", "carol", "--json");
  expect(JSON.parse(shown.stdout.toString("utf8"))).toMatchObject({ source: "stdin" });
});
