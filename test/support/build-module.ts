/** PKCS#11 modules for tests, built with the C++ compiler that the addon needs too. */
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { temporaryFolder } from "../token/modules/temporary.js";

/** Compiles a module into a folder of this test file. Returns its path. */
export function buildModule(source: string, name: string): string {
  const built = join(temporaryFolder(name), `${name}.so`);
  const addon = dirname(createRequire(import.meta.url).resolve("pkcs11js/package.json"));
  const headers = join(addon, "includes", "pkcs11");
  execFileSync(
    process.env["CXX"] ?? "c++",
    ["-shared", "-fPIC", "-O1", "-I", headers, source, "-o", built, "-ldl"],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  return built;
}
