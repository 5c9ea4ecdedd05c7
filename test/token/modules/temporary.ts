/** Folders that are removed with the test run. */
import { mkdtempSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new, empty folder, 0700, inside the test environment's own. */
export function temporaryFolder(name: string): string {
  const parent = process.env["P11SEAL_TEST_ENVIRONMENT"] ?? tmpdir();
  return realpathSync(mkdtempSync(join(parent, `${name}-`)));
}
