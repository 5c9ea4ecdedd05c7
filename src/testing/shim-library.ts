/**
 * The shim as a library: the one that came with the package for this platform, else compiled from
 * the sources in shim/, once for each machine. It is never built when a package is installed.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { withLock } from "../store/lock.js";
import { cacheFolder, cachePath, folderForMaking, noteUse } from "./cache.js";
import { Remembered } from "./remembered.js";
import { unavailable } from "./unavailable.js";

/** A compiled shim. It is in memory, so that it can be put beside each token at any time. */
export interface ShimLibrary {
  readonly bytes: Uint8Array;
  /** Of the sources that it was made from. */
  readonly hash: string;
}

/** Finds the shim, or compiles it. @throws UnsupportedError without a compiler */
export function shimLibrary(): ShimLibrary | Promise<ShimLibrary> {
  const compiler = process.env["CXX"] ?? "c++";
  return libraries.get(compiler, async () => {
    const hash = sourcesHash();
    return { hash, bytes: prebuiltShim(hash) ?? (await compiledShim(hash, compiler)) };
  });
}

const libraries = new Remembered<ShimLibrary>();

/** A hash of the shim's sources. `npm run build` keeps it beside what it makes of them. */
export function sourcesHash(): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(SOURCES).sort()) {
    const bytes = readFileSync(join(SOURCES, name));
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex").slice(0, 16);
}

const SOURCES = join(import.meta.dirname, "shim");

// ── Prebuilt ──

/** What `npm run build` says of a shim that it made, in shim.json beside shim.so. */
export interface PrebuiltShim {
  /** `sourcesHash` of what it is made from. */
  readonly sources: string;
  /** The oldest glibc that it runs with, as in "2.28". */
  readonly glibc: string;
  /** The compiler, as it calls itself. */
  readonly compiler: string;
}

/** The package's own shim, unless it has none for this platform, or from other sources. */
function prebuiltShim(sources: string): Uint8Array | undefined {
  const folder = join(import.meta.dirname, "prebuilt", `${process.platform}-${process.arch}`);
  let known: PrebuiltShim;
  try {
    known = JSON.parse(readFileSync(join(folder, "shim.json"), "utf8")) as PrebuiltShim;
  } catch {
    return undefined;
  }
  if (known.sources !== sources || !isAtLeast(glibcVersion(), known.glibc)) return undefined;
  return readFileSync(join(folder, "shim.so"));
}

/** As in "2.36"; undefined on musl and other systems. */
function glibcVersion(): string | undefined {
  // A report also names the other ends of open connections, for which it would ask the DNS.
  const { report } = process as { report: { excludeNetwork?: boolean } & typeof process.report };
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  try {
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
    return header?.glibcVersionRuntime;
  } finally {
    if (before !== undefined) report.excludeNetwork = before;
  }
}

function isAtLeast(version: string | undefined, least: string): boolean {
  if (version === undefined) return false;
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [leastMajor = 0, leastMinor = 0] = least.split(".").map(Number);
  return major > leastMajor || (major === leastMajor && minor >= leastMinor);
}

// ── Compiled here ──

/** A compiler takes some seconds; another process may be at it. */
const WAIT_MS = 120_000;

/** From the cache, or by the compiler. */
async function compiledShim(sources: string, compiler: string): Promise<Uint8Array> {
  const args = [
    ...["-std=c++17", "-shared", "-fPIC", "-O1", "-fvisibility=hidden", "-pthread"],
    // Each copy of the library has its own state: nothing of it may be merged with another copy's.
    ...(process.platform === "linux" ? ["-fno-gnu-unique", "-Wl,-Bsymbolic", "-s"] : []),
  ];
  const hash = createHash("sha256");
  for (const part of [sources, compiler, process.platform, process.arch, ...args]) {
    hash.update(`${part}\0`);
  }
  const path = cachePath("shim", `${hash.digest("hex").slice(0, 16)}.so`);
  const read = (): Uint8Array | undefined => {
    try {
      noteUse(path);
      return readFileSync(path);
    } catch {
      return undefined;
    }
  };
  return (
    read() ??
    (await withLock(
      join(cacheFolder(), "compiling"),
      async () => {
        const others = read();
        if (others !== undefined) return others;
        const folder = folderForMaking();
        try {
          const made = join(folder, "shim.so");
          const more = ["-o", made, join(SOURCES, "shim.cc"), "-ldl"];
          await promisify(execFile)(compiler, [...args, ...more]);
          renameSync(made, path);
          return readFileSync(path);
        } catch (error) {
          throw noCompiler(compiler, error);
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      },
      { waitMs: WAIT_MS },
    ))
  );
}

function noCompiler(compiler: string, cause: unknown): Error {
  const { code, stderr = "" } = cause as { code?: string | number; stderr?: string };
  const line = stderr.split("\n").find((one) => one.includes("error")) ?? "";
  const fact =
    code === "ENOENT"
      ? `test tokens need a C++ compiler on this platform, and "${compiler}" is not installed`
      : `"${compiler}" could not compile the shim for test tokens${line && `: ${line.trim()}`}`;
  return unavailable(fact, "install g++ or clang++, or name a compiler in CXX", cause);
}
