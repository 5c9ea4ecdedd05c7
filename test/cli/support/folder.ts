/** A folder for one test file, with the test keys in it, removed afterwards. */
import { chmodSync, copyFileSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "@jest/globals";
import { publicPem, TEST_KEYS } from "../../support/keys.js";

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

/** `alice` has RSA-2048, `bob` P-256, `carol` X25519; `.pem` is public, `.key` private. */
export function writeKeys(folder: string): void {
  const keys = { alice: TEST_KEYS.rsa2048, bob: TEST_KEYS.p256, carol: TEST_KEYS.x25519 };
  for (const [name, pem] of Object.entries(keys)) {
    writeFileSync(join(folder, `${name}.pem`), publicPem(pem));
    writeFileSync(join(folder, `${name}.key`), pem);
    chmodSync(join(folder, `${name}.key`), 0o600);
  }
  copyFileSync(
    new URL("../../keys/fixtures/rsa1024.spki.pem", import.meta.url),
    join(folder, "weak.pem"),
  );
}
