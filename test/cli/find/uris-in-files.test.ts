/** What a URI in a file may say: which token and key, but neither what is loaded nor the PIN. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "../support/folder.js";
import { run } from "../support/run.js";

const folder = temporaryFolder();
const home = join(folder, "home");
const env = { P11SEAL_HOME: home, P11SEAL_SYSTEM_MODULES: "0" };

const NAMING = [
  ["module-path", `module-path=${encodeURIComponent(join(folder, "m.so"))}`],
  ["module-name", "module-name=m"],
  ["pin-source", `pin-source=${encodeURIComponent(join(folder, "pin"))}`],
] as const;

beforeAll(() => {
  writeKeys(folder);
  mkdirSync(home);
  process.chdir(folder);
  // Whatever looks at it has gone too far: it would be another error.
  writeFileSync("m.so", "no library");
  writeFileSync("pin", "123456");
});

describe.each(NAMING)("a URI with %s=", (name, query) => {
  const uri = `pkcs11:token=a;object=b?${query}`;

  it.each([
    ["an identities file", ["open", "-i", "keys", "x.p11s"], "keys:3"],
    ["an identities file that doctor reads", ["doctor", "-i", "keys", "x.p11s"], "keys:3"],
    ["a recipients file", ["seal", "-R", "keys", "bob.pem"], "keys:3"],
  ])("is refused in %s, which is named with its line", async (_what, argv, where) => {
    writeFileSync("keys", `# mine\n\n${uri}\n`);
    const sealed = await run(["seal", "-r", "bob.pem", "-o", "-"], { env, stdin: "word" });
    writeFileSync("x.p11s", sealed.stdout);
    const { status, stdout, stderr } = await run(argv, { env });
    // doctor reports it, the others fail with it.
    expect(`${stdout.toString()}${stderr}`).toContain(
      `${where}: a URI in a file may not have ${name}=`,
    );
    expect(status).not.toBe(0);
  });

  it("is refused for a name of the recipients file", async () => {
    writeFileSync(join(home, "recipients"), `mallory = ${uri}\n`);
    const { stderr } = await run(["seal", "-r", "mallory"], { env, stdin: "word" });
    expect(stderr).toContain(`${join(home, "recipients")}: mallory: a URI in a file`);
  });

  it("is taken on the command line", async () => {
    const { stderr } = await run(["seal", "-r", uri], { env, stdin: "word" });
    expect(stderr).not.toContain("a URI in a file");
  });
});

describe("a malformed URI", () => {
  it.each([
    [
      "an identities file",
      ["open", "-i", "keys", "x.p11s"],
      /^p11seal: .*attribute "alice" has no/,
    ],
    ["a recipients file", ["seal", "-R", "keys", "bob.pem"], /keys:1: attribute "alice" has no/],
  ])("in %s is a fault of the file, and not of the command line", async (_what, argv, fact) => {
    writeFileSync("keys", "pkcs11:alice\n");
    const sealed = await run(["seal", "-r", "bob.pem", "-o", "-"], { env, stdin: "word" });
    writeFileSync("x.p11s", sealed.stdout);
    const { status, stderr } = await run(argv, { env });
    expect(stderr).toMatch(fact);
    expect(status).toBe(1);
  });
});
