/** A folder for one test file, with the test keys in it, removed afterwards. */
import { chmodSync, copyFileSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "@jest/globals";
import { publicPem, TEST_KEYS, type TestKeyName } from "../../support/keys.js";

/** Makes the folder; jest removes it after the file's last test. */
export function temporaryFolder(): string {
  const before = process.cwd();
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "p11seal-cli-")));
  afterAll(() => {
    // A test may have changed to the folder, and no process should stay in a removed folder.
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Who has which key, unless a test says otherwise. */
const THREE: Readonly<Record<string, TestKeyName>> = {
  alice: "rsa2048",
  bob: "p256",
  carol: "x25519",
};

/** Each with a key of another kind. */
export const ALL_KINDS: Readonly<Record<string, TestKeyName>> = {
  alice: "p256",
  bob: "p384",
  carol: "rsa2048",
  dave: "rsa3072",
  xenia: "x25519",
  signer: "ed25519",
  vault: "rsa4096",
};

/** For each of `people` a `.pem`, which is public, and a `.key`, private; and a `weak.pem`. */
export function writeKeys(folder: string, people = THREE): void {
  for (const [name, key] of Object.entries(people)) {
    writeFileSync(join(folder, `${name}.pem`), publicPem(TEST_KEYS[key]));
    writeFileSync(join(folder, `${name}.key`), TEST_KEYS[key]);
    chmodSync(join(folder, `${name}.key`), 0o600);
  }
  copyFileSync(
    new URL("../../keys/fixtures/rsa1024.spki.pem", import.meta.url),
    join(folder, "weak.pem"),
  );
}

/** The words of a command line. Names of files and, with a `/` at the end, folders become paths. */
export function wordsIn(folder: string, line: string): string[] {
  return line
    .split(" ")
    .map((word) => (/^[\w./-]+\.\w+$|\/$/.test(word) ? join(folder, word) : word));
}
