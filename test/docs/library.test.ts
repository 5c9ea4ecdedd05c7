/** The examples of docs/library.md, run unchanged with the built package. */
import { spawnSync } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import ts from "typescript";
import { publicPem, TEST_KEYS } from "../support/keys.js";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/library.md"), "utf8");
const examples = [...page.matchAll(/^## ([^\n]+)$(?:(?!^## ).)*?^```js\n(.*?)^```$/gms)].map(
  ([, title = "", code = ""]) => [title, code] as const,
);

// Inside the checkout, so that "p11seal" means this package.
mkdirSync(join(root, ".cache"), { recursive: true });
const folder = mkdtempSync(join(root, ".cache", "library-"));
writeFileSync(join(folder, "alice.key"), TEST_KEYS.p256, { mode: 0o600 });
const zoe = createPrivateKey(TEST_KEYS.p384).export({
  ...{ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open sesame" },
});
writeFileSync(join(folder, "zoe.key"), zoe, { mode: 0o600 });
writeFileSync(join(folder, "alice.pem"), publicPem(TEST_KEYS.p256));
writeFileSync(join(folder, "alice.pin"), "123456\n", { mode: 0o600 });

const wanted: Readonly<Record<string, string>> = {
  seal: "",
  inspect: "true true\n",
  open: "the report\n",
  "watch and interrupt": "100 %\nERR_ABORTED\n",
  "sign, and demand a signature": "an order\n0 true\n",
  "open a part": "report",
  "open with a token": "",
  "Keys of your own making": "hello\n",
};

// These examples must not see the tokens of other tests.
const env: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: "" };
delete env["SOFTHSM2_CONF"];

/** The interfaces of the library's options, and where each is. */
const OPTIONS: Readonly<Record<string, string>> = {
  SealOptions: "envelope/envelope.ts",
  Sender: "envelope/envelope.ts",
  Watching: "envelope/watched.ts",
  OpenOptions: "envelope/messages.ts",
  SoftwareIdentityOptions: "software/software-identity.ts",
  TokenClientOptions: "token/process/token-client.ts",
};

/** The members of an interface, by TypeScript's own parser. */
function membersOf(name: string, file: string): string[] {
  const text = readFileSync(join(root, "src", file), "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023);
  const found = source.statements.find(
    (node) => ts.isInterfaceDeclaration(node) && node.name.text === name,
  );
  const members = found === undefined ? [] : (found as ts.InterfaceDeclaration).members;
  return members.map((member) => (member.name as ts.Identifier).text);
}

/** All code that shows the library at work, and that a test runs. */
const shown = [
  ...examples.map(([, code]) => code),
  ...readdirSync(join(root, "examples")).map((name) =>
    readFileSync(join(root, "examples", name), "utf8"),
  ),
].join("\n");

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("docs/library.md", () => {
  it("has the examples this test knows", () => {
    expect(examples.map(([title]) => title)).toEqual(Object.keys(wanted));
  });

  it.each(Object.entries(OPTIONS))("%s: each option has an example", (name, file) => {
    const members = membersOf(name, file);
    expect(members.length).toBeGreaterThan(0);
    // As a property, in full or short, or as a method.
    const without = members.filter((member) => {
      const property = new RegExp(String.raw`^ *(?:async )?${member}(?:[:,(]| *$)`, "m");
      return (
        !property.test(shown) && !new RegExp(String.raw`[{,] ${member}(?:[:,]| \})`).test(shown)
      );
    });
    expect(without).toEqual([]);
  });

  it.each(examples)("%s: the example runs", (title, code) => {
    const file = join(folder, "example.mjs");
    writeFileSync(file, code);
    const done = spawnSync(process.execPath, [file], {
      cwd: folder,
      encoding: "utf8",
      env,
    });
    expect({ output: done.stdout, errors: done.stderr, status: done.status }).toEqual({
      output: wanted[title],
      errors: "",
      status: 0,
    });
    // An aborted opening leaves nothing.
    const names = readdirSync(folder);
    expect(names.filter((name) => name === "never.txt" || name.endsWith(".part"))).toEqual([]);
  });
});
