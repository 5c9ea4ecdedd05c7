/** The module that goes wrong on demand, built with the C++ compiler that the addon needs too. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SOFTHSM_MODULE } from "../softhsm.js";
import { temporaryFolder } from "../../token/modules/temporary.js";

/** Compiles it into a folder of this test file's. Returns its path. */
export function buildFaultyModule(): string {
  const folder = temporaryFolder("faulty");
  const built = join(folder, "faulty.so");
  const addon = dirname(createRequire(import.meta.url).resolve("pkcs11js/package.json"));
  const source = fileURLToPath(new URL("./module.cc", import.meta.url));
  const headers = join(addon, "includes", "pkcs11");
  execFileSync(
    process.env["CXX"] ?? "c++",
    ["-shared", "-fPIC", "-O1", "-I", headers, source, "-o", built, "-ldl"],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  return built;
}

/** What the module is told, in the environment of the token's process. */
export interface Fault {
  /** Which function of PKCS#11 goes wrong. */
  readonly fn: string;
  readonly how: "crash" | "abort" | "exit" | "hang" | "short" | "wrong" | number;
  /** So many calls are let pass. */
  readonly skip?: number;
  /** Only one call goes wrong, in whichever process. */
  readonly once?: boolean;
}

export function faultyEnvironment({ fn, how, skip, once }: Fault): Record<string, string> {
  const marker = join(temporaryFolder("once"), "once");
  if (once === true) writeFileSync(marker, "");
  return {
    FAULTY_MODULE: SOFTHSM_MODULE,
    FAULTY_FUNCTION: fn,
    FAULTY_HOW: String(how),
    ...(skip === undefined ? {} : { FAULTY_SKIP: String(skip) }),
    ...(once === true ? { FAULTY_ONCE: marker } : {}),
  };
}
