/**
 * Before each test file: a folder of SoftHSM's tokens, and a data folder, for this worker alone.
 * Test files run side by side, and one that looks at all tokens must not see those that another is
 * just making.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runInThisContext } from "node:vm";

const { P11SEAL_TEST_ENVIRONMENT: common = "", SOFTHSM2_CONF: shared = "" } = process.env;
const own = join(common, `worker-${process.env["JEST_WORKER_ID"] ?? "1"}`);
const at = (name: string): string => join(own, name);

if (!existsSync(own)) {
  for (const name of ["tokens", "home"]) mkdirSync(at(name), { recursive: true, mode: 0o700 });
  const text = readFileSync(shared, "utf8");
  const line = /^directories\.tokendir *=.*$/m;
  writeFileSync(
    at("softhsm2.conf"),
    text.replace(line, () => `directories.tokendir = ${at("tokens")}`),
  );
}
const folders = { SOFTHSM2_CONF: at("softhsm2.conf"), P11SEAL_HOME: at("home") };

// Tests have a copy of the environment. SoftHSM reads the process's own, and so do its children.
const itself = runInThisContext("process") as NodeJS.Process;
for (const { env } of [process, itself]) Object.assign(env, folders);
