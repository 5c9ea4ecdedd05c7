/**
 * Child of modules.test.ts: opens, one after the other, a library that is not a module, a library
 * that needs a missing one, and SoftHSM. With one argument, only SoftHSM.
 */
import { execFileSync } from "node:child_process";
import { realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TokenAccess } from "../../../../src/token/index.js";

const [softHsm = "", folder] = process.argv.slice(2);

const modules = folder === undefined ? [softHsm] : [libz(), lacking(folder), softHsm];
const access = new TokenAccess({
  modules,
  home: "/nonexistent",
  env: process.env,
  pin: () => Promise.resolve("1234"),
});
const infos = await access.modules();
await access.tokens();
await access.close();
// Collects garbage: a failed load must not unload a library that is in use.
(globalThis as { gc?: () => void }).gc?.();
process.stdout.write(
  JSON.stringify(infos.map(({ error, library }) => error ?? { library: library?.description })),
);

/** zlib, which every Node on Linux finds: a valid library without C_GetFunctionList. */
function libz(): string {
  const cache = execFileSync("/sbin/ldconfig", ["-p"], { encoding: "utf8" });
  const path = /libz\.so\.1 .*=> (\S+)/.exec(cache)?.[1];
  if (path === undefined) throw new Error("no libz");
  return realpathSync(path);
}

/** A library that needs another one, which does not exist. */
function lacking(where: string): string {
  const source = join(where, "lacking.c");
  const other = join(where, "libnot-there.so");
  const path = join(where, "lacking.so");
  writeFileSync(source, "int there(void); int here(void) { return there(); }\n");
  writeFileSync(join(where, "there.c"), "int there(void) { return 1; }\n");
  execFileSync("cc", ["-shared", "-fPIC", "-o", other, join(where, "there.c")]);
  execFileSync("cc", ["-shared", "-fPIC", "-o", path, source, "-L", where, "-lnot-there"]);
  execFileSync("rm", [other]);
  return path;
}
