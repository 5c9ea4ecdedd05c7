/**
 * Debian packages, with and without root. apt checks what it fetches against the archive's
 * signature in both cases.
 */
import fs from "node:fs";
import path from "node:path";
import { cache, capture, root, say } from "./run.mjs";

/** Below a folder that packages were unpacked into: their names and versions, a line each. */
export const VERSIONS_FILE = "packages.txt";

/** What the last failed call printed, for the message to the user. */
let lastOutput = "";

/** True on Debian and its relatives. */
export function hasApt() {
  return (
    process.platform === "linux" &&
    fs.existsSync("/usr/bin/apt-get") &&
    fs.existsSync("/usr/bin/dpkg")
  );
}

/** The end of what apt printed when it last failed. */
export function aptFailure() {
  return lastOutput.trim().split("\n").slice(-6).join("\n");
}

/** True for a user who may install packages for everybody. */
export function isRoot() {
  return process.getuid?.() === 0;
}

/**
 * Installs packages for everybody. Needs root.
 * @param {readonly string[]} packages
 * @returns {boolean} whether it worked
 */
export function aptInstall(packages) {
  say(`apt-get install ${packages.join(" ")}`);
  const args = ["install", "-y", "--no-install-recommends", "-oDPkg::Lock::Timeout=120"];
  if (apt([...args, ...packages])) return true;
  say("apt-get update: this machine's package lists are missing or too old");
  return apt(["update", "-oDPkg::Lock::Timeout=120"]) && apt([...args, ...packages]);
}

/**
 * Downloads packages and unpacks them into `folder`, which appears whole or not at all. Needs no
 * root: when the machine's own package lists are missing or too old, private ones are fetched.
 * @param {readonly string[]} packages
 * @param {string} folder
 * @returns {boolean} whether it worked
 */
export function aptUnpack(packages, folder) {
  say(`apt-get download ${packages.join(" ")}, unpacked into ${path.relative(root, folder)}`);
  fs.mkdirSync(cache, { recursive: true, mode: 0o700 });
  const made = fs.mkdtempSync(path.join(cache, "unpack-"));
  try {
    if (!download(packages, made)) return false;
    return unpackAll(made, folder);
  } finally {
    fs.rmSync(made, { recursive: true, force: true });
  }
}

/**
 * Downloads packages of another Debian release, with all that they need, and unpacks them into
 * `folder`, which appears whole or not at all. Nothing of this machine's apt is read or changed but
 * the archive's keys.
 * @param {string} suite as in `sid`
 * @param {readonly string[]} packages
 * @param {string} folder
 * @returns {boolean} whether it worked
 */
export function aptUnpackSuite(suite, packages, folder) {
  say(
    `apt-get download ${packages.join(" ")} of Debian ${suite} into ${path.relative(root, folder)}`,
  );
  fs.mkdirSync(cache, { recursive: true, mode: 0o700 });
  const made = fs.mkdtempSync(path.join(cache, "unpack-"));
  try {
    for (const name of ["lists/partial", "cache/archives/partial", "none"]) {
      fs.mkdirSync(path.join(made, name), { recursive: true });
    }
    // An empty list of what is installed, so that everything needed is fetched.
    fs.writeFileSync(path.join(made, "status"), "");
    const key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    const source = `deb [signed-by=${key}] http://deb.debian.org/debian ${suite} main\n`;
    fs.writeFileSync(path.join(made, "sources.list"), source);
    const own = [
      ...(isRoot() ? ["-oAPT::Sandbox::User=root"] : []),
      `-oDir::Etc::sourcelist=${path.join(made, "sources.list")}`,
      `-oDir::Etc::sourceparts=${path.join(made, "none")}`,
      `-oDir::Etc::preferences=${path.join(made, "none", "preferences")}`,
      `-oDir::Etc::preferencesparts=${path.join(made, "none")}`,
      `-oDir::State::lists=${path.join(made, "lists")}`,
      `-oDir::State::status=${path.join(made, "status")}`,
      `-oDir::Cache=${path.join(made, "cache")}`,
      "-oDebug::NoLocking=1",
    ];
    const install = ["install", "-y", "--download-only", "--no-install-recommends"];
    if (!apt(["update", ...own, "-oAcquire::Languages=none"])) return false;
    if (!apt([...install, ...own, ...packages])) return false;
    return unpackAll(path.join(made, "cache", "archives"), folder);
  } finally {
    fs.rmSync(made, { recursive: true, force: true });
  }
}

/**
 * @param {string} archives folder with packages
 * @param {string} folder
 */
function unpackAll(archives, folder) {
  const unpacked = path.join(archives, "root");
  const versions = [];
  for (const name of fs.readdirSync(archives).filter((name) => name.endsWith(".deb"))) {
    const { status, output } = capture("dpkg", ["-x", path.join(archives, name), unpacked]);
    lastOutput = output;
    if (status !== 0) return false;
    const format = ["-W", "--showformat=${Package} ${Version}\n", path.join(archives, name)];
    versions.push(capture("dpkg-deb", format).output);
  }
  fs.writeFileSync(path.join(unpacked, VERSIONS_FILE), versions.join(""));
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  fs.renameSync(unpacked, folder);
  return true;
}

/**
 * @param {readonly string[]} packages
 * @param {string} folder
 */
function download(packages, folder) {
  // apt would give the download to its own user, who may not write here.
  const sandbox = isRoot() ? ["-oAPT::Sandbox::User=root"] : [];
  if (apt(["download", ...sandbox, ...packages], folder)) return true;
  const lists = path.join(cache, "apt", "lists");
  const archives = path.join(cache, "apt", "cache");
  const own = [...sandbox, `-oDir::State::lists=${lists}`, `-oDir::Cache=${archives}`];
  if (fs.existsSync(lists) && apt(["download", ...own, ...packages], folder)) return true;
  say("apt-get update into .cache/apt: this machine's package lists are missing or too old");
  fs.mkdirSync(path.join(lists, "partial"), { recursive: true });
  fs.mkdirSync(path.join(archives, "archives", "partial"), { recursive: true });
  // Warnings about hooks that only root can run do not count: what matters is whether the download
  // works afterwards.
  apt(["update", ...own, "-oAcquire::Languages=none"]);
  return apt(["download", ...own, ...packages], folder);
}

/**
 * @param {readonly string[]} args
 * @param {string} [cwd]
 */
function apt(args, cwd) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
  const { status, output } = capture(
    "apt-get",
    ["-q", ...args],
    cwd === undefined ? { env } : { env, cwd },
  );
  if (status !== 0) lastOutput = output;
  return status === 0;
}
