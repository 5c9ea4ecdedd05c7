/**
 * Programs that speak the age format, to test with: this machine's age, or Debian's; and the newer
 * age and rage of Debian sid, unpacked into .cache/.
 */
import fs from "node:fs";
import path from "node:path";
import { aptFailure, aptInstall, aptUnpack, aptUnpackSuite, hasApt, isRoot } from "./apt.mjs";
import { cache, capture } from "./run.mjs";

/**
 * @typedef {object} AgeProgram
 * @property {string} name with its version
 * @property {readonly string[]} command
 */

const SID = path.join(cache, "age-sid");

/**
 * age as this machine has it, installed or unpacked if it has none.
 * @returns {AgeProgram | { reason: string }}
 */
export function ensureAge() {
  const unpacked = path.join(cache, "age", "usr", "bin", "age");
  const present = () => versionOf("age", ["age"]) ?? versionOf("age", [unpacked]);
  const found = present();
  if (found !== undefined) return found;
  if (!hasApt()) return { reason: "there is no age, and no apt to get it with" };
  const got = isRoot() ? aptInstall(["age"]) : aptUnpack(["age"], path.join(cache, "age"));
  return (got ? present() : undefined) ?? { reason: `age could not be got:\n${aptFailure()}` };
}

/**
 * age and rage of Debian sid.
 * @returns {AgeProgram[] | { reason: string }}
 */
export function ensureNewerAge() {
  if (process.arch !== "x64" || !hasApt()) return { reason: "it takes Debian on x86-64" };
  if (!fs.existsSync(SID) && !aptUnpackSuite("sid", ["age", "rage"], SID)) {
    return { reason: `Debian sid could not be reached:\n${aptFailure()}` };
  }
  const bin = path.join(SID, "usr", "bin");
  const libraries = path.join(SID, "usr", "lib", "x86_64-linux-gnu");
  // rage wants sid's libc. The variable LD_LIBRARY_PATH would reach the plugin, too.
  const loader = [path.join(libraries, "ld-linux-x86-64.so.2"), "--library-path", libraries];
  const found = [
    versionOf("age", [path.join(bin, "age")]),
    versionOf("rage", [...loader, path.join(bin, "rage")]),
  ];
  return found.filter((one) => one !== undefined);
}

/**
 * Undefined if it does not run.
 * @param {string} name
 * @param {readonly string[]} command
 * @returns {AgeProgram | undefined}
 */
function versionOf(name, command) {
  const [program = "", ...args] = command;
  const { status, output } = capture(program, [...args, "--version"]);
  const version = /\d+\.\d+\.\d+/.exec(output)?.[0];
  if (status !== 0 || version === undefined) return undefined;
  return { name: `${name} ${version}`, command };
}
