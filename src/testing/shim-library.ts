/**
 * The shim, compiled from the sources in shim/ with the C++ compiler that pkcs11js needs too. The
 * cache keeps it under a hash of what it is made of. It is never built when a package is installed.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { withLock } from "../store/lock.js";
import { cacheFolder } from "./folders.js";
import { unavailable } from "./unavailable.js";

/** A compiled shim. */
export interface ShimLibrary {
  readonly path: string;
  /** Changes with the shim. */
  readonly hash: string;
}

const SOURCES = join(import.meta.dirname, "shim");

/** A compiler takes some seconds; another process may be at it. */
const WAIT_MS = 120_000;

/** Finds the shim in the cache, or compiles it. @throws UnsupportedError without a compiler */
export async function shimLibrary(): Promise<ShimLibrary> {
  const compiler = process.env["CXX"] ?? "c++";
  const headers = pkcs11Headers();
  const args = [
    ...["-std=c++17", "-shared", "-fPIC", "-O1", "-fvisibility=hidden", "-pthread", "-I", headers],
    // Each copy of the library has its own state: nothing of it may be merged with another copy's.
    ...(process.platform === "linux" ? ["-fno-gnu-unique", "-Wl,-Bsymbolic", "-s"] : []),
  ];
  const hash = createHash("sha256");
  for (const part of [compiler, process.platform, process.arch, ...args]) hash.update(`${part}\0`);
  for (const name of readdirSync(SOURCES).sort()) hash.update(readFileSync(join(SOURCES, name)));
  const digest = hash.digest("hex").slice(0, 16);
  const folder = cacheFolder();
  const path = join(folder, `shim-${digest}.so`);
  if (existsSync(path)) return { path, hash: digest };
  await withLock(
    join(folder, "compiling"),
    async () => {
      if (existsSync(path)) return;
      // Of a process that was killed meanwhile: nobody else compiles now.
      for (const name of readdirSync(folder).filter((one) => /^shim-.*\.new$/.test(one))) {
        rmSync(join(folder, name), { force: true });
      }
      const made = join(folder, `shim-${digest}-${process.pid}.new`);
      try {
        const more = ["-o", made, join(SOURCES, "shim.cc"), "-ldl"];
        await promisify(execFile)(compiler, [...args, ...more]);
        renameSync(made, path);
      } catch (error) {
        throw noCompiler(compiler, error);
      } finally {
        rmSync(made, { force: true });
      }
    },
    { waitMs: WAIT_MS },
  );
  return { path, hash: digest };
}

/** The headers of PKCS#11 that pkcs11js has with it. */
function pkcs11Headers(): string {
  try {
    const manifest = createRequire(import.meta.url).resolve("pkcs11js/package.json");
    return join(dirname(manifest), "includes", "pkcs11");
  } catch (cause) {
    const hint = "install it: npm install pkcs11js";
    throw unavailable("test tokens need the package pkcs11js, which is not installed", hint, cause);
  }
}

function noCompiler(compiler: string, cause: unknown): Error {
  const { code, stderr = "" } = cause as { code?: string | number; stderr?: string };
  const line = stderr.split("\n").find((one) => one.includes("error")) ?? "";
  const fact =
    code === "ENOENT"
      ? `test tokens need a C++ compiler, and "${compiler}" is not installed`
      : `"${compiler}" could not compile the shim for test tokens${line && `: ${line.trim()}`}`;
  return unavailable(fact, "install g++ or clang++, or name a compiler in CXX", cause);
}
