/**
 * SoftHSM for test tokens: the one that is named, else the system's, else the distribution's
 * package, downloaded with apt and unpacked into the cache, which needs no root. apt checks the
 * package against the archive's signature.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { isSoftHsm } from "../token/modules/module.js";
import { systemPaths } from "../token/modules/well-known.js";
import { withLock } from "../store/lock.js";
import { cacheFolder, folderForMaking, noteUse } from "./cache.js";
import { unavailable } from "./unavailable.js";

export interface FindOptions {
  /** Path of libsofthsm2.so; it wins over `SOFTHSM2_LIB` and the usual places. */
  readonly softhsm?: string | undefined;
  /** Whether the distribution's package may be downloaded; by default yes. */
  readonly download?: boolean | undefined;
}

/** The path of SoftHSM's library. @throws UnsupportedError with the reason where there is none */
export async function findSoftHsm({ softhsm, download = true }: FindOptions): Promise<string> {
  const named = softhsm ?? process.env["SOFTHSM2_LIB"];
  if (named !== undefined && named !== "") {
    if (existsSync(named)) return resolve(named);
    const by = softhsm === undefined ? "SOFTHSM2_LIB" : "the option softhsm";
    throw unavailable(`"${named}", which ${by} names, does not exist`, INSTALL);
  }
  const installed = systemPaths(process.env).wellKnown.filter(isSoftHsm).find(existsSync);
  if (installed !== undefined) return installed;
  const unpacked = join(cacheFolder(), `softhsm-${distribution()}`);
  const known = libraryBelow(unpacked);
  if (known !== undefined) {
    noteUse(unpacked);
    return known;
  }
  if (!existsSync("/usr/bin/apt-get") || !existsSync("/usr/bin/dpkg")) {
    throw unavailable("SoftHSM is not installed", INSTALL);
  }
  if (!download) {
    throw unavailable("SoftHSM is not installed, and may not be downloaded", INSTALL);
  }
  await withLock(join(cacheFolder(), "downloading"), () => unpack(unpacked), { waitMs: WAIT_MS });
  const found = libraryBelow(unpacked);
  if (found === undefined) throw unavailable("Debian's libsofthsm2 has no libsofthsm2.so", INSTALL);
  return found;
}

/**
 * This distribution, its version and the processor, as in `debian-12-x64`: the libraries that a
 * package needs are those of its distribution. A cache may outlive an upgrade, or the image that a
 * CI job ran on.
 */
function distribution(): string {
  let text = "";
  try {
    text = readFileSync("/etc/os-release", "utf8");
  } catch {
    // Then there is no apt either.
  }
  const [id, version] = ["ID", "VERSION_ID"].map((name) => {
    const value = new RegExp(`^${name}=["']?([a-z0-9._-]{1,40})["']?$`, "m").exec(text)?.[1];
    return value ?? "unknown";
  });
  return `${id}-${version}-${process.arch}`;
}

const INSTALL =
  "install SoftHSM (Debian: apt install softhsm2; Fedora, Homebrew: softhsm), or name its library in SOFTHSM2_LIB";

const WAIT_MS = 300_000;

const PACKAGE = "libsofthsm2";

/** The library in an unpacked package: below usr/lib, or usr/lib/ARCHITECTURE. */
function libraryBelow(folder: string): string | undefined {
  const lib = join(folder, "usr", "lib");
  if (!existsSync(lib)) return undefined;
  return ["", ...readdirSync(lib)]
    .map((name) => join(lib, name, "softhsm", "libsofthsm2.so"))
    .find(existsSync);
}

async function unpack(folder: string): Promise<void> {
  if (libraryBelow(folder) !== undefined) return;
  const made = folderForMaking();
  try {
    await download(made);
    const archive = readdirSync(made).find((name) => name.endsWith(".deb")) ?? "";
    await run("dpkg", ["-x", join(made, archive), join(made, "root")], made);
    rmSync(folder, { recursive: true, force: true });
    renameSync(join(made, "root"), folder);
    // What was unpacked has the times of the archive.
    noteUse(folder);
  } catch (error) {
    const { stderr = "" } = error as { stderr?: string };
    const why = stderr.trim().split("\n").at(-1) ?? "";
    throw unavailable(
      `SoftHSM is not installed, and could not be downloaded${why && `: ${why}`}`,
      INSTALL,
      error,
    );
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

/** Downloads the package, with package lists of our own if the machine's don't have it. */
async function download(into: string): Promise<void> {
  // As root, apt would download as a user of its own, who may not write here.
  const sandbox = process.getuid?.() === 0 ? ["-oAPT::Sandbox::User=root"] : [];
  try {
    await run("apt-get", ["-q", "download", ...sandbox, PACKAGE], into);
  } catch {
    const [lists, archives] = [join(into, "lists"), join(into, "archives")];
    for (const one of [lists, archives]) mkdirSync(join(one, "partial"), { recursive: true });
    const own = [...sandbox, `-oDir::State::lists=${lists}`, `-oDir::Cache=${archives}`];
    // Hooks that only root can run fail; what counts is whether the download works afterwards.
    await run("apt-get", ["-q", "update", ...own], into).catch(() => undefined);
    await run("apt-get", ["-q", "download", ...own, PACKAGE], into);
  }
}

async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
  await promisify(execFile)(command, args, { cwd, env });
}
