/**
 * Before each test file: a folder of SoftHSM's tokens, and a data folder, for this file alone. Test
 * files run side by side and one after the other, and one that looks at all tokens must see neither
 * those that another is just making nor the keys that an earlier one left.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runInThisContext } from "node:vm";
import type { PKCS11 } from "pkcs11js";

/** What the files of one worker have in common, as jest gives each of them globals of its own. */
interface Worker {
  /** Test files leave SoftHSM initialized (test/support/softhsm.ts). */
  softHsm?: PKCS11;
  fileFolder?: string;
  /** The text of the run's own configuration. */
  configuration?: string;
}

const { P11SEAL_TEST_ENVIRONMENT: common = "", SOFTHSM2_CONF: shared = "" } = process.env;

const worker = runInThisContext("globalThis.p11sealTests ??= {}") as Worker;
// SoftHSM reads its configuration when it is initialized.
worker.softHsm?.C_Finalize();
delete worker.softHsm;
if (worker.fileFolder !== undefined) rmSync(worker.fileFolder, { recursive: true, force: true });

const own = mkdtempSync(join(common, "file-"));
worker.fileFolder = own;
const at = (name: string): string => join(own, name);
for (const name of ["tokens", "home"]) mkdirSync(at(name), { mode: 0o700 });
worker.configuration ??= readFileSync(shared, "utf8");
const line = /^directories\.tokendir *=.*$/m;
writeFileSync(
  at("softhsm2.conf"),
  worker.configuration.replace(line, () => `directories.tokendir = ${at("tokens")}`),
);
const folders = { SOFTHSM2_CONF: at("softhsm2.conf"), P11SEAL_HOME: at("home") };

// Tests have a copy of the environment. SoftHSM reads the process's own, and so do its children.
const itself = runInThisContext("process") as NodeJS.Process;
for (const { env } of [process, itself]) Object.assign(env, folders);
