/**
 * Whatever signs refuses a key that would be refused as a recipient's, before it signs anything.
 */
import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "@jest/globals";
import { temporaryFolder, writeKeys } from "./support/folder.js";
import { run } from "./support/run.js";

const folder = temporaryFolder();
const fixtures = join(import.meta.dirname, "../keys/fixtures");

beforeAll(() => {
  process.chdir(folder);
  writeKeys(folder);
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
  writeFileSync("short.key", privateKey.export({ format: "pem", type: "pkcs8" }), { mode: 0o600 });
  writeFileSync("roca.key", readFileSync(join(fixtures, "roca.private.pem")), { mode: 0o600 });
  writeFileSync("text", "some text\n");
});

const WEAK = [
  ["short", "ERR_WEAK_KEY"],
  ["roca", "ERR_ROCA"],
] as const;

async function tried(argv: string) {
  const { status, stderr } = await run([...argv.split(" "), "--json"], {
    env: { P11SEAL_HOME: join(folder, "home") },
  });
  const line = stderr.split("\n").find((one) => one.startsWith('{"error"'));
  const error = JSON.parse(line ?? '{"error":{}}') as {
    error: { code?: string; message?: string };
  };
  return { status, ...error.error };
}

describe.each(WEAK)("a signing key that is %s", (name, code) => {
  it("signs no message, and takes no serial", async () => {
    const refused = await tried(`seal -r bob.pem --sign-with ${name}.key -o m text`);
    expect(refused).toMatchObject({ status: 6, code });
    expect(refused.message).toContain(`${name}.key: `);
    expect([existsSync("m"), existsSync("home/serials.db")]).toEqual([false, false]);
  });

  it("signs no receipt", async () => {
    const asked = `open -i bob.key --from any --receipt r --receipt-key ${name}.key -o out m.p11s`;
    expect(await tried(asked)).toMatchObject({ status: 6, code });
  });

  it.each([
    ["capi send", "send --to alice.pem --blob k --cipher c --signature s text --sign-with"],
    ["capi store", "store -i alice.key -o s --sign-with"],
  ])("makes nothing for %s, unless weak keys are allowed", async (_what, argv) => {
    expect(await tried(`capi ${argv} ${name}.key`)).toMatchObject({ status: 6, code });
    const outputs = ["k", "c", "s", "s.sig"];
    expect(outputs.filter((file) => existsSync(file))).toEqual([]);
    expect(await tried(`capi ${argv} ${name}.key --allow-weak`)).toEqual({ status: 0 });
    for (const file of outputs) rmSync(file, { force: true });
  });
});
