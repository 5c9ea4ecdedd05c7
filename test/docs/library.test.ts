/** The examples of docs/library.md, run unchanged with the built package. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../support/keys.js";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/library.md"), "utf8");
const examples = [...page.matchAll(/^## (.+?)$.*?^```js\n(.*?)^```$/gms)].map(
  ([, title = "", code = ""]) => [title, code] as const,
);

// Inside the checkout, so that "p11seal" means this package.
mkdirSync(join(root, ".cache"), { recursive: true });
const folder = mkdtempSync(join(root, ".cache", "library-"));
writeFileSync(join(folder, "alice.key"), TEST_KEYS.p256, { mode: 0o600 });
writeFileSync(join(folder, "alice.pem"), publicPem(TEST_KEYS.p256));
writeFileSync(join(folder, "alice.pin"), "123456\n", { mode: 0o600 });

const wanted: Readonly<Record<string, string>> = {
  seal: "",
  inspect: "true true\n",
  open: "the report\n",
  "open a part": "report",
  "open with a token": "",
  "Keys of your own making": "hello\n",
};

// These examples must not see the tokens of other tests.
const env: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: "" };
delete env["SOFTHSM2_CONF"];

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("docs/library.md", () => {
  it("has the examples this test knows", () => {
    expect(examples.map(([title]) => title)).toEqual(Object.keys(wanted));
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
  });
});
