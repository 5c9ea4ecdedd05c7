/**
 * What the scripts of the six PKCS#11 stacks share: the shape of a stack, packages with and without
 * root, daemons that end with us, a new token made through the module itself.
 *
 * A stack's script exports `start({ folder, mayFetch })`. It sets the stack up below `folder`,
 * which is the caller's to delete, and answers with a `Stack`, or with the reason why there is none
 * here.
 */
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { aptFailure, aptInstall, aptUnpack, hasApt, isRoot, VERSIONS_FILE } from "../lib/apt.mjs";
import { cache, capture } from "../lib/run.mjs";

/**
 * @typedef {object} Stack
 * @property {string} name as in "softhsm": the script's file name
 * @property {string} versions for a reader, as in "SoftHSM 2.6.1"
 * @property {string} module absolute path of the PKCS#11 library
 * @property {Record<string, string>} env what a process that loads the module needs
 * @property {string} tokenLabel the token made for this run
 * @property {string} pin its user PIN
 * @property {() => Promise<void>} stop ends what was started
 */

/** @typedef {{ reason: string }} Missing why a stack can't be set up here */

/**
 * @typedef {object} StartOptions
 * @property {string} folder an empty folder for everything the stack writes
 * @property {boolean} [mayFetch] whether packages that are missing may be got; by default they may
 */

/**
 * @typedef {object} Packages
 * @property {string} name of the folder they are unpacked into, and for messages
 * @property {string} file a file of theirs, below / or the folder they are unpacked into; ARCH
 * stands for the architecture's folder
 * @property {readonly string[]} install what root installs
 * @property {readonly string[]} [unpack] what others unpack; without it only root can get them
 */

/**
 * Where packages are: "/" or the folder that they were unpacked into. Gets them if need be.
 * @param {Packages} packages
 * @param {boolean} mayFetch
 * @returns {{ below: string, file: string, libraryPath: string | null } | Missing}
 */
export function packagesFor({ name, file, install, unpack }, mayFetch) {
  const own = path.join(cache, "stacks", name);
  const found = inSystem(file) ?? inFolder(own, file);
  if (found !== null) return found;
  if (!mayFetch) return { reason: `the packages ${install.join(" ")} are not installed` };
  if (!hasApt())
    return { reason: `${install.join(" ")} can be got on Debian and its relatives only` };
  if (isRoot()) {
    if (!aptInstall(install)) return { reason: `apt-get install failed: ${aptFailure()}` };
    return inSystem(file) ?? { reason: `${install.join(" ")} holds no ${file}` };
  }
  if (unpack === undefined) return { reason: `only root can install ${install.join(" ")}` };
  if (!aptUnpack(unpack, own)) return { reason: `apt-get download failed: ${aptFailure()}` };
  return inFolder(own, file) ?? { reason: `${unpack.join(" ")} holds no ${file}` };
}

/** @param {string} file */
function inSystem(file) {
  const found = resolve("/", file);
  return found === null ? null : { below: "/", file: found, libraryPath: null };
}

/**
 * @param {string} below
 * @param {string} file
 */
function inFolder(below, file) {
  const found = resolve(below, file);
  if (found === null) return null;
  return { below, file: found, libraryPath: libraryFolders(below) };
}

/**
 * The path of a file, ARCH in it being any architecture, as in `usr/lib/ARCH/x.so`; null without
 * it.
 * @param {string} below
 * @param {string} file
 * @returns {string | null}
 */
export function resolve(below, file) {
  const full = path.join(below, file);
  if (!full.includes("ARCH")) return fs.existsSync(full) ? full : null;
  const [before = "", after = ""] = full.split("ARCH", 2);
  if (!fs.existsSync(before)) return null;
  for (const name of fs.readdirSync(before).filter((one) => one.includes("-linux-"))) {
    if (fs.existsSync(before + name + after)) return before + name + after;
  }
  return null;
}

/**
 * Folders of libraries: packages before the merge of /lib into /usr/lib still have both.
 * @param {string} below
 */
function libraryFolders(below) {
  const folders = ["usr/lib", "lib"].flatMap((lib) => {
    const folder = path.join(below, lib);
    const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
    return names.filter((one) => one.includes("-linux-")).map((one) => path.join(folder, one));
  });
  return folders.join(":");
}

/**
 * The environment of a program whose libraries were unpacked.
 * @param {string | null} libraryPath
 * @returns {Record<string, string>}
 */
export function libraryEnv(libraryPath) {
  if (libraryPath === null) return {};
  const others = process.env["LD_LIBRARY_PATH"];
  return { LD_LIBRARY_PATH: others ? `${libraryPath}:${others}` : libraryPath };
}

/**
 * The upstream version of a package, as in "2.6.1"; "" where nothing tells.
 * @param {string} name
 * @param {string} below "/" or the folder it was unpacked into
 */
export function versionOf(name, below = "/") {
  const version =
    below === "/"
      ? capture("dpkg-query", ["-W", "-f", "${Version}", name])
      : unpackedVersion(name, path.join(below, VERSIONS_FILE));
  if (version.status !== 0) return "";
  return version.output.replace(/^\d+:/, "").replace(/(?:\+dfsg.*|\+deb.*|-[^-]*)$/, "");
}

/**
 * @param {string} name
 * @param {string} file
 */
function unpackedVersion(name, file) {
  const lines = fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n") : [];
  const line = lines.find((one) => one.startsWith(`${name} `));
  return { status: line === undefined ? 1 : 0, output: line?.split(" ")[1] ?? "" };
}

/**
 * A program that runs until `stop`. What it prints goes to a file, whose end tells why it ended
 * early.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ env?: Record<string, string>, log: string, ready: () => boolean | Promise<boolean>,
 *   seconds?: number }} options
 * @returns {Promise<{ pid: number, stop: () => Promise<void> } | Missing>}
 */
export async function daemon(program, args, { env = {}, log, ready, seconds = 10 }) {
  const output = fs.openSync(log, "a", 0o600);
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", output, output],
    detached: true,
  });
  fs.closeSync(output);
  let ended = false;
  const end = new Promise((resolve) => {
    const done = () => resolve((ended = true));
    child.on("error", done);
    child.on("exit", done);
  });
  const kill = () => signalGroup(child.pid, "SIGKILL");
  process.once("exit", kill);
  const stop = async () => {
    process.off("exit", kill);
    if (ended) return;
    signalGroup(child.pid, "SIGTERM");
    const late = setTimeout(kill, 2000);
    await end;
    clearTimeout(late);
  };
  if (await until(async () => ended || (await ready()), seconds)) {
    if (!ended) return { pid: child.pid ?? 0, stop };
  }
  await stop();
  const name = path.basename(program);
  const said = fs.readFileSync(log, "utf8").trim().split("\n").slice(-3).join("; ");
  return { reason: `${name} ${ended ? "ended" : "is not ready"}${said ? `: ${said}` : ""}` };
}

/**
 * @param {number | undefined} pid
 * @param {NodeJS.Signals} signal
 */
function signalGroup(pid, signal) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It ended by itself.
  }
}

/**
 * Waits for a condition.
 * @param {() => boolean | Promise<boolean>} condition
 * @param {number} seconds
 * @returns {Promise<boolean>} false when it did not come true in time
 */
export async function until(condition, seconds) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

/**
 * A TCP port on this machine that is free together with its successor.
 * @returns {Promise<number>}
 */
export async function freePortPair() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(false));
    // On every address: who will have it may listen at more than this machine's own.
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

/**
 * Makes a token through the module, in a process of its own.
 * @param {{ module: string, env: Record<string, string>, label?: string, pin: string, soPin:
 *   string, newSoPin?: string, firstPin?: string, parameters?: string, slot?: number }} token
 *   `soPin` is the one an uninitialized token takes. openCryptoki wants it changed to `newSoPin`,
 *   and the user's PIN from the `firstPin` that the SO sets to `pin`. `parameters` are
 *   C_Initialize's; `slot` counts from 0 among the slots with a token, without it the first one not
 *   initialized is taken
 * @returns {Promise<string | null>} why there is none; null for success
 */
export function makeToken({ env, ...rest }) {
  const script = fileURLToPath(new URL("make-token.mjs", import.meta.url));
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let said = "";
    child.stdout.on("data", (data) => void (said += String(data)));
    child.stderr.on("data", (data) => void (said += String(data)));
    child.on("error", (error) => resolve(error.message));
    child.on("close", (status) => {
      const why = said.trim().split("\n").slice(-4).join("; ");
      resolve(status === 0 ? null : `the token could not be made: ${why}`);
    });
    child.stdin.end(JSON.stringify(rest));
  });
}

/**
 * A label no other run uses, within the 32 bytes a token has for it.
 * @param {string} name
 */
export function freshLabel(name) {
  return `${name}-${process.pid.toString(36)}-${Date.now().toString(36).slice(-5)}`;
}
