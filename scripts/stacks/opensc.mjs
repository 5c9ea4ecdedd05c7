/**
 * OpenSC over pcscd, with a virtual PIV card in a virtual reader (vpcd). pcscd is given a /run of
 * its own by a mount namespace, so that it needs no root and never meets one that runs already;
 * OpenSC finds it by `PCSCLITE_CSOCK_NAME`.
 */
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { aptFailure, aptInstall, hasApt, isRoot } from "../lib/apt.mjs";
import { capture } from "../lib/run.mjs";
import { startCard } from "../../test/support/piv/start.mjs";

const PACKAGES = ["pcscd", "vsmartcard-vpcd", "opensc-pkcs11"];

/** The only socket pcscd ever opens, and the drivers' folder. */
const SYSTEM_SOCKET = "/run/pcscd/pcscd.comm";
const DRIVER = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
const DAEMON = "/usr/sbin/pcscd";

const PIN = "123456";

/**
 * What a stack is to a test.
 * @typedef {object} Stack
 * @property {string} name as in "opensc": the script's file name
 * @property {string} versions for a reader, as in "OpenSC 0.23.0"
 * @property {string} module absolute path of the PKCS#11 library
 * @property {Record<string, string>} env what a process that loads the module needs
 * @property {string} tokenLabel
 * @property {string} pin
 * @property {() => Promise<void>} stop ends the daemons; the folder stays
 *
 * @typedef {object} OpenScOnly
 * @property {import("../../test/support/piv/start.mjs").PivCard} card
 *
 * @typedef {object} Options
 * @property {string} folder an empty one, for sockets and configuration
 * @property {boolean} [mayFetch] whether packages that are missing may be got; by default they may
 * @property {readonly import("../../test/support/piv/application.mjs").CardKey[]} [keys] made if
 *   absent
 */

/**
 * Installs what is missing, as root; starts card and daemon.
 * @param {Options} options
 * @returns {Promise<(Stack & OpenScOnly) | { reason: string }>}
 */
export async function start({ folder, mayFetch = true, keys = freshKeys() }) {
  const module = findModule(mayFetch);
  if (typeof module !== "string") return module;
  const port = await freePortPair();
  const daemon = await startDaemon(folder, port);
  if ("reason" in daemon) return daemon;
  const card = await startCard({ keys, pin: PIN, pinTries: 3, name: path.basename(folder), port });
  await card.insert();
  return {
    name: "opensc",
    versions: versions(),
    module,
    env: { PCSCLITE_CSOCK_NAME: daemon.socket },
    // OpenSC names the token after the certificate of the first key slot.
    tokenLabel: keys.find(({ slot }) => slot === 0x9a)?.name ?? "PIV_II",
    pin: PIN,
    card,
    async stop() {
      await card.stop();
      await daemon.stop();
    },
  };
}

/** One key of each kind to exchange with, and two to sign with. */
export function freshKeys() {
  const rsa = (/** @type {number} */ modulusLength) =>
    generateKeyPairSync("rsa", { modulusLength }).privateKey;
  const ec = (/** @type {string} */ namedCurve) =>
    generateKeyPairSync("ec", { namedCurve }).privateKey;
  /** @type {[number, import("node:crypto").KeyObject, string, "exchange" | "sign"][]} */
  const made = [
    [0x9a, ec("P-256"), "p11seal test card", "sign"],
    [0x9c, rsa(2048), "sign RSA-2048", "sign"],
    [0x9d, rsa(2048), "RSA-2048", "exchange"],
    [0x82, rsa(3072), "RSA-3072", "exchange"],
    [0x83, ec("P-256"), "P-256", "exchange"],
    [0x84, ec("P-384"), "P-384", "exchange"],
  ];
  return made.map(([slot, key, name, use]) => {
    const pem = key.export({ type: "pkcs8", format: "pem" }).toString();
    return { slot, pem, name, use };
  });
}

/**
 * @param {boolean} mayFetch
 * @returns {string | { reason: string }}
 */
function findModule(mayFetch) {
  const find = () => {
    if (!fs.existsSync(DAEMON) || !fs.existsSync(DRIVER)) return undefined;
    for (const name of fs.readdirSync("/usr/lib").filter((one) => one.includes("-linux-"))) {
      const file = path.join("/usr/lib", name, "opensc-pkcs11.so");
      if (fs.existsSync(file)) return file;
    }
    return undefined;
  };
  const found = find();
  if (found !== undefined) return found;
  const missing = `${PACKAGES.join(", ")} are not all installed`;
  if (!mayFetch || !hasApt() || !isRoot()) return { reason: missing };
  if (!aptInstall(PACKAGES)) return { reason: `${missing}: ${aptFailure().split("\n").at(-1)}` };
  return find() ?? { reason: missing };
}

/**
 * @param {string} folder
 * @param {number} port
 * @returns {Promise<{ socket: string, stop: () => Promise<void> } | { reason: string }>}
 */
async function startDaemon(folder, port) {
  const readers = path.join(folder, "readers");
  const run = path.join(folder, "run");
  fs.mkdirSync(readers, { recursive: true });
  fs.mkdirSync(path.join(run, "pcscd"), { recursive: true });
  const lines = [
    'FRIENDLYNAME "p11seal test reader"',
    // It listens, for a second card one port on as well. Told to connect, vpcd ends at a removal.
    `DEVICENAME /dev/null:${port}`,
    `LIBPATH ${DRIVER}`,
    `CHANNELID ${port}`,
  ];
  fs.writeFileSync(path.join(readers, "vpcd"), `${lines.join("\n")}\n`);
  const daemon = [DAEMON, "--foreground", "--critical", "--config", readers];

  const apart = [...(isRoot() ? [] : ["--user", "--map-root-user"]), "--mount"];
  if (capture("unshare", [...apart, "true"]).status === 0) {
    const script = 'mount --bind "$0" /run && exec "$@"';
    const args = [...apart, "sh", "-c", script, run, ...daemon];
    return launch("unshare", args, path.join(run, "pcscd", "pcscd.comm"));
  }
  if (!isRoot()) return { reason: "this system grants no namespace, and pcscd needs root without" };
  if (await answers(SYSTEM_SOCKET)) return { reason: "another pcscd is running" };
  const [program = DAEMON, ...args] = daemon;
  return launch(program, args, SYSTEM_SOCKET);
}

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {string} socket where it will answer
 * @returns {Promise<{ socket: string, stop: () => Promise<void> } | { reason: string }>}
 */
async function launch(program, args, socket) {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "ignore"] });
  let hasEnded = false;
  const ended = new Promise((resolve) => {
    child.once("error", resolve);
    child.once("exit", resolve);
  }).then(() => {
    hasEnded = true;
  });
  const kill = () => void child.kill("SIGKILL");
  process.once("exit", kill);
  const stop = async () => {
    process.off("exit", kill);
    child.kill("SIGTERM");
    const patience = setTimeout(kill, 3000);
    await ended;
    clearTimeout(patience);
  };
  for (let tries = 0; tries < 100 && !hasEnded; tries++) {
    if (await answers(socket)) return { socket, stop };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await stop();
  return { reason: "pcscd does not start" };
}

/** A TCP port that is free together with the next one: vpcd's two slots. */
async function freePortPair() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
}

/** @param {number} port */
function isFree(port) {
  return new Promise((/** @type {(answer: boolean) => void} */ resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

/** @param {string} socket */
function answers(socket) {
  return new Promise((/** @type {(answer: boolean) => void} */ resolve) => {
    const client = net.connect(socket);
    client.once("connect", () => {
      client.destroy();
      resolve(true);
    });
    client.once("error", () => resolve(false));
  });
}

function versions() {
  const version = (/** @type {string} */ name) =>
    capture("dpkg-query", ["-W", "-f", "${Version}", name]).output.replace(/[-+].*$/, "");
  const [pcscd, vpcd, opensc] = PACKAGES.map(version);
  return `OpenSC ${opensc}, pcscd ${pcscd}, vpcd ${vpcd}, a PIV card of our own`;
}
