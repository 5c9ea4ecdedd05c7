/**
 * The two PKCS#11 modules that the tests and the demo use: SoftHSM, and NSS softoken as a second,
 * independent one. Found where systems put them; else got with apt, for everybody when run by root
 * and into .cache/ when not; else the user is told how to install them.
 */
import fs from "node:fs";
import path from "node:path";
import { aptFailure, aptInstall, aptUnpack, hasApt, isRoot } from "./apt.mjs";
import { cache, capture, SetupError } from "./run.mjs";

/**
 * @typedef {object} Module
 * @property {string} path the shared library
 * @property {string | null} libraryPath folder that LD_LIBRARY_PATH must hold for it to load
 */

/**
 * @typedef {object} Kind
 * @property {string} name
 * @property {string} file the library's file name, without its ending
 * @property {readonly string[]} folders where it may be, besides Debian's folders per architecture
 * @property {readonly string[]} inArchitecture the same, below /usr/lib/ARCHITECTURE
 * @property {readonly string[]} install packages to install
 * @property {readonly string[]} unpack packages to unpack when not root
 */

/** @type {Kind} */
const SOFTHSM = {
  name: "SoftHSM",
  file: "libsofthsm2",
  folders: [
    "/usr/lib/softhsm",
    "/usr/local/lib/softhsm",
    "/opt/homebrew/lib/softhsm",
    "/usr/lib64/pkcs11",
    "/usr/lib64/softhsm",
    "/usr/lib/pkcs11",
    "/usr/lib",
  ],
  inArchitecture: ["softhsm", "pkcs11"],
  install: ["softhsm2"],
  unpack: ["libsofthsm2"],
};

/** @type {Kind} */
const NSS = {
  name: "NSS",
  file: "libsoftokn3",
  folders: [
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/opt/homebrew/lib",
    "/opt/homebrew/opt/nss/lib",
  ],
  inArchitecture: ["", "nss"],
  install: ["libnss3"],
  unpack: ["libnss3", "libnspr4", "libsqlite3-0"],
};

/** Where the installer SoftHSM2-for-Windows puts it. */
const SOFTHSM_WINDOWS = "C:\\SoftHSM2\\lib\\softhsm2-x64.dll";

/**
 * SoftHSM's path, or null: what `P11SEAL_SOFTHSM2` names, else the system's, else the one unpacked
 * earlier into .cache/.
 * @returns {string | null}
 */
export function findSoftHsm() {
  const named = process.env["P11SEAL_SOFTHSM2"];
  if (named !== undefined && named !== "") {
    if (fs.existsSync(named)) return path.resolve(named);
    throw new SetupError(`P11SEAL_SOFTHSM2 names "${named}", which does not exist.`);
  }
  if (process.platform === "win32") {
    return fs.existsSync(SOFTHSM_WINDOWS) ? SOFTHSM_WINDOWS : null;
  }
  return find(SOFTHSM, "/") ?? find(SOFTHSM, unpacked(SOFTHSM));
}

/**
 * SoftHSM's path; gets it first if need be.
 * @returns {string}
 * @throws SetupError saying how to install it
 */
export function ensureSoftHsm() {
  const found = findSoftHsm();
  if (found !== null) return found;
  if (!hasApt()) throw new SetupError(howToInstallSoftHsm());
  const got = get(SOFTHSM);
  if (typeof got === "string") throw new SetupError(`${got}\n\n${howToInstallSoftHsm()}`);
  return got.path;
}

/**
 * NSS softoken, or null. One unpacked into .cache/ needs its folder in LD_LIBRARY_PATH before the
 * process that loads it starts.
 * @returns {Module | null}
 */
export function findNss() {
  if (process.platform === "win32") return null;
  const installed = find(NSS, "/");
  if (installed !== null) return { path: installed, libraryPath: null };
  const own = find(NSS, unpacked(NSS));
  return own === null ? null : { path: own, libraryPath: path.dirname(own) };
}

/**
 * NSS softoken; gets it first if need be. The tests that need it can be left out, so failing to get
 * it is an answer, not an error.
 * @returns {Module | { reason: string }}
 */
export function ensureNss() {
  const found = findNss();
  if (found !== null) return found;
  if (!hasApt()) return { reason: "NSS softoken (libsoftokn3) is not installed" };
  const got = get(NSS);
  return typeof got === "string" ? { reason: got.split("\n")[0] ?? got } : got;
}

/**
 * Gets a module with apt.
 * @param {Kind} kind
 * @returns {Module | string} the module, or why there is none
 */
function get(kind) {
  if (isRoot() && aptInstall(kind.install)) {
    const installed = find(kind, "/");
    if (installed !== null) return { path: installed, libraryPath: null };
  }
  if (!aptUnpack(kind.unpack, unpacked(kind))) {
    return `${kind.name} could not be downloaded with apt-get\n${aptFailure()}`;
  }
  const own = find(kind, unpacked(kind));
  if (own === null) return `${kind.unpack.join(" ")} does not hold ${kind.file}.so`;
  const libraryPath = path.dirname(own);
  const env = { ...process.env, LD_LIBRARY_PATH: libraryPath };
  const lacks = capture("ldd", [own], { env }).output.match(/^\s*\S+ => not found/gm);
  if (lacks !== null) {
    fs.rmSync(unpacked(kind), { recursive: true, force: true });
    const names = lacks.map((line) => line.trim().split(" ")[0]).join(", ");
    return `${kind.name} needs libraries that this machine does not have: ${names}`;
  }
  return { path: own, libraryPath };
}

/** @param {Kind} kind */
function unpacked(kind) {
  return path.join(cache, kind.name.toLowerCase());
}

/**
 * @param {Kind} kind
 * @param {string} below "/", or the folder that stands for it
 * @returns {string | null}
 */
function find(kind, below) {
  const lib = path.join(below, "usr/lib");
  const architectures = fs.existsSync(lib)
    ? fs.readdirSync(lib).filter((name) => name.includes("-linux-"))
    : [];
  const folders = [
    ...kind.folders.map((folder) => path.join(below, folder)),
    ...architectures.flatMap((name) => kind.inArchitecture.map((sub) => path.join(lib, name, sub))),
  ];
  const endings = process.platform === "darwin" ? [".dylib", ".so"] : [".so"];
  for (const folder of folders) {
    for (const ending of endings) {
      const file = path.join(folder, kind.file + ending);
      if (fs.existsSync(file)) return file;
    }
  }
  return null;
}

function howToInstallSoftHsm() {
  const untested = "p11seal has not been tried on this platform; reports are welcome.";
  if (process.platform === "darwin") {
    return `SoftHSM is missing. Install it with: brew install softhsm\n${untested}`;
  }
  if (process.platform === "win32") {
    return (
      "SoftHSM is missing. Install it with the installer of the project SoftHSM2-for-Windows into\n" +
      `C:\\SoftHSM2, or set P11SEAL_SOFTHSM2 to the path of softhsm2-x64.dll.\n${untested}`
    );
  }
  return (
    "SoftHSM is missing. Install it with your system's package manager, then run this again:\n" +
    "  Debian, Ubuntu   apt install softhsm2\n" +
    "  Fedora           dnf install softhsm\n" +
    "  Arch             pacman -S softhsm\n" +
    "  openSUSE         zypper install softhsm\n" +
    "  others           set P11SEAL_SOFTHSM2 to the path of libsofthsm2.so"
  );
}
