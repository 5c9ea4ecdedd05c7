/**
 * OpenSC over pcscd, with a virtual PIV card in a virtual reader (vpcd). pcscd is given a /run of
 * its own by a mount namespace, so that it needs no root and never meets one that runs already;
 * OpenSC finds it by `PCSCLITE_CSOCK_NAME`.
 */
import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { aptFailure, aptInstall, hasApt, isRoot } from "../lib/apt.mjs";
import { capture } from "../lib/run.mjs";
import { startCard } from "../../test/support/piv/start.mjs";
import { daemon, freePortPair, resolve, versionOf } from "./stack.mjs";

const PACKAGES = ["pcscd", "vsmartcard-vpcd", "opensc-pkcs11"];

/** The only socket pcscd ever opens, and the drivers' folder. */
const SYSTEM_SOCKET = "/run/pcscd/pcscd.comm";
const DRIVER = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
const DAEMON = "/usr/sbin/pcscd";

const PIN = "123456";

/**
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
 * @returns {Promise<(import("./stack.mjs").Stack & OpenScOnly) | import("./stack.mjs").Missing>}
 */
export async function start({ folder, mayFetch = true, keys = freshKeys() }) {
  const module = findModule(mayFetch);
  if (typeof module !== "string") return module;
  const port = await freePortPair();
  const pcscd = await startPcscd(folder, port);
  if ("reason" in pcscd) return pcscd;
  const card = await startCard({ keys, pin: PIN, pinTries: 3, name: path.basename(folder), port });
  await card.insert();
  return {
    name: "opensc",
    versions: versions(),
    module,
    env: { PCSCLITE_CSOCK_NAME: pcscd.socket },
    // OpenSC names the token after the certificate of the first key slot.
    tokenLabel: keys.find(({ slot }) => slot === 0x9a)?.name ?? "PIV_II",
    pin: PIN,
    card,
    async stop() {
      await card.stop();
      await pcscd.stop();
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
    if (!fs.existsSync(DAEMON) || !fs.existsSync(DRIVER)) return null;
    return resolve("/", "usr/lib/ARCH/opensc-pkcs11.so");
  };
  const found = find();
  if (found !== null) return found;
  const missing = `${PACKAGES.join(", ")} are not all installed`;
  if (!mayFetch || !hasApt() || !isRoot()) return { reason: missing };
  if (!aptInstall(PACKAGES)) return { reason: `${missing}: ${aptFailure().split("\n").at(-1)}` };
  return find() ?? { reason: missing };
}

/**
 * @param {string} folder
 * @param {number} port
 * @returns {Promise<{ socket: string, stop: () => Promise<void> } | import("./stack.mjs").Missing>}
 */
async function startPcscd(folder, port) {
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
  const log = path.join(folder, "pcscd.log");
  const pcscd = [DAEMON, "--foreground", "--critical", "--config", readers];

  const apart = [...(isRoot() ? [] : ["--user", "--map-root-user"]), "--mount"];
  if (capture("unshare", [...apart, "true"]).status === 0) {
    const script = 'mount --bind "$0" /run && exec "$@"';
    const args = [...apart, "sh", "-c", script, run, ...pcscd];
    return launch("unshare", args, path.join(run, "pcscd", "pcscd.comm"), log);
  }
  if (!isRoot()) return { reason: "this system grants no namespace, and pcscd needs root without" };
  if (await answers(SYSTEM_SOCKET)) return { reason: "another pcscd is running" };
  const [program = DAEMON, ...args] = pcscd;
  return launch(program, args, SYSTEM_SOCKET, log);
}

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {string} socket where it will answer
 * @param {string} log
 * @returns {Promise<{ socket: string, stop: () => Promise<void> } | import("./stack.mjs").Missing>}
 */
async function launch(program, args, socket, log) {
  const started = await daemon(program, args, { log, ready: () => answers(socket) });
  return "reason" in started ? started : { socket, stop: started.stop };
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
  const [pcscd, vpcd, opensc] = PACKAGES.map((name) => versionOf(name));
  return `OpenSC ${opensc}, pcscd ${pcscd}, vpcd ${vpcd}, a PIV card of our own`;
}
