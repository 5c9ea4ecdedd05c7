/**
 * Programs that speak CMS, to test with: this machine's OpenSSL; and of Debian, unpacked into
 * .cache/, a newer OpenSSL, NSS and GnuPG of two releases each, BouncyCastle, and Mono.
 */
import fs from "node:fs";
import path from "node:path";
import { versionOf } from "../stacks/stack.mjs";
import { aptFailure, aptInstall, aptUnpackSuite, hasApt, isRoot } from "./apt.mjs";
import { cache, capture } from "./run.mjs";

/**
 * @typedef {object} CmsPeer
 * @property {"openssl" | "nss" | "gpgsm" | "bouncycastle" | "mono"} kind
 * @property {string} name with its version
 * @property {Readonly<Record<string, readonly string[]>>} programs command lines by name
 * @property {Readonly<Record<string, string>>} env what they need besides
 */

/** @typedef {{ name: string, reason: string }} MissingPeer why a peer is not here */

/** Debian 12, and what will be its next but one. */
const SUITES = {
  bookworm: [
    ...["libnss3-tools", "gpgsm", "gpg-agent"],
    ...["mono-mcs", "mono-runtime", "libmono-system-security4.0-cil"],
  ],
  sid: ["openssl", "libnss3-tools", "gpgsm", "gpg-agent", "libbcpkix-java"],
};

/**
 * This machine's OpenSSL.
 * @returns {CmsPeer | MissingPeer}
 */
export function findOpenSsl() {
  return openssl(["openssl"]) ?? { name: "OpenSSL", reason: "there is no openssl" };
}

/**
 * All that can be had.
 * @returns {(CmsPeer | MissingPeer)[]}
 */
export function ensureCmsPeers() {
  return [findOpenSsl(), ...fromSuite("bookworm"), ...fromSuite("sid")];
}

/**
 * @param {keyof typeof SUITES} suite
 * @returns {(CmsPeer | MissingPeer)[]}
 */
function fromSuite(suite) {
  const name = `CMS programs of Debian ${suite}`;
  if (process.arch !== "x64" || !hasApt()) {
    return [{ name, reason: "it takes Debian on x86-64" }];
  }
  const folder = path.join(cache, `cms-${suite}`);
  if (!fs.existsSync(folder) && !aptUnpackSuite(suite, SUITES[suite], folder)) {
    return [{ name, reason: `they could not be got:\n${aptFailure()}` }];
  }
  const peers = [nss(folder), gpgsm(folder)];
  if (suite === "bookworm") return [...peers, mono(folder)];
  const newer = openssl(unpackedCommand(folder, "openssl"));
  return [
    newer ?? { name: "OpenSSL of Debian sid", reason: "it does not run" },
    ...peers,
    bouncyCastle(folder),
  ];
}

/**
 * Undefined if it does not run.
 * @param {readonly string[]} command
 * @returns {CmsPeer | undefined}
 */
function openssl(command) {
  const version = runs([...command, "version"])?.match(/OpenSSL \d+\.\d+\.\d+/)?.[0];
  if (version === undefined) return undefined;
  return { kind: "openssl", name: version, programs: { openssl: command }, env: {} };
}

/**
 * @param {string} folder
 * @returns {CmsPeer | MissingPeer}
 */
function nss(folder) {
  const version = versionOf("libnss3", folder);
  const name = `NSS ${version}`;
  const programs = Object.fromEntries(
    ["certutil", "cmsutil", "pk12util"].map((one) => [one, unpackedCommand(folder, one)]),
  );
  // Told to list a folder without a database it fails, if it runs, with words of its own.
  const said = capture(...split([...(programs["certutil"] ?? []), "-L", "-d", "sql:/nonexistent"]));
  if (!said.output.includes("certutil: ")) return { name, reason: said.output };
  return { kind: "nss", name, programs, env: {} };
}

/**
 * @param {string} folder
 * @returns {CmsPeer | MissingPeer}
 */
function gpgsm(folder) {
  const command = unpackedCommand(folder, "gpgsm");
  const version = runs([...command, "--version"])?.match(/\d+\.\d+\.\d+/)?.[0];
  if (version === undefined) return { name: "gpgsm", reason: "it does not run" };
  // gpgsm starts the program that holds the keys by a single word.
  const agent = path.join(folder, "gpg-agent.sh");
  const words = unpackedCommand(folder, "gpg-agent").map((word) => `'${word}'`);
  fs.writeFileSync(agent, `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`, { mode: 0o755 });
  return {
    kind: "gpgsm",
    name: `gpgsm ${version}`,
    programs: { gpgsm: command, agent: [agent] },
    env: {},
  };
}

/**
 * @param {string} folder
 * @returns {CmsPeer | MissingPeer}
 */
function mono(folder) {
  const usr = path.join(folder, "usr");
  const libraries = path.join(usr, "lib", "mono", "4.5");
  // Started directly: it finds its libraries by the place of the program that runs.
  const command = [path.join(usr, "bin", "mono-sgen")];
  const env = {
    MONO_PATH: libraries,
    MONO_CFG_DIR: path.join(folder, "etc"),
    MONO_GAC_PREFIX: usr,
  };
  const version = runs([...command, "--version"], env)?.match(/version (\d+\.\d+)/)?.[1];
  if (version === undefined) return { name: "Mono", reason: "it does not run" };
  const compiler = [...command, path.join(libraries, "mcs.exe"), "-r:System.Security.dll"];
  return { kind: "mono", name: `Mono ${version}`, programs: { mono: command, compiler }, env };
}

/**
 * @param {string} folder
 * @returns {CmsPeer | MissingPeer}
 */
function bouncyCastle(folder) {
  const name = `BouncyCastle ${versionOf("libbcpkix-java", folder)}`;
  if (!hasJdk() && !(isRoot() && aptInstall(["default-jdk-headless"]) && hasJdk())) {
    return { name, reason: "there is no JDK of at least version 17" };
  }
  const jars = ["bcprov", "bcpkix", "bcutil"].map((one) =>
    path.join(folder, "usr", "share", "java", `${one}.jar`),
  );
  const java = ["java", "-XX:TieredStopAtLevel=1", "-cp", jars.join(path.delimiter)];
  return { kind: "bouncycastle", name, programs: { java }, env: {} };
}

/** True where Java runs a program that is given as a source file. */
function hasJdk() {
  const modules = runs(["java", "--list-modules"]);
  const version = modules?.match(/^jdk\.compiler@(\d+)/m)?.[1];
  return version !== undefined && Number(version) >= 17;
}

/**
 * A program with the libraries, libc as well, that were unpacked along with it. The variable
 * LD_LIBRARY_PATH would reach programs of this machine.
 * @param {string} folder
 * @param {string} name
 */
function unpackedCommand(folder, name) {
  const libraries = ["usr/lib", "lib"]
    .map((lib) => path.join(folder, lib, "x86_64-linux-gnu"))
    .filter((one) => fs.existsSync(one));
  const loader = libraries
    .map((one) => path.join(one, "ld-linux-x86-64.so.2"))
    .find((one) => fs.existsSync(one));
  const program = path.join(folder, "usr", "bin", name);
  return [loader ?? "", "--library-path", libraries.join(path.delimiter), program];
}

/**
 * What a program prints; undefined if it fails.
 * @param {readonly string[]} command
 * @param {Record<string, string>} [env]
 */
function runs(command, env = {}) {
  const [program, args] = split(command);
  const { status, output } = capture(program, args, { env: { ...process.env, ...env } });
  return status === 0 ? output : undefined;
}

/**
 * @param {readonly string[]} command
 * @returns {[string, string[]]}
 */
function split([program = "", ...args]) {
  return [program, args];
}
