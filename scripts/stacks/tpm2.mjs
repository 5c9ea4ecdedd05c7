/**
 * tpm2-pkcs11 on a software TPM 2.0 (swtpm), with a resource manager (tpm2-abrmd) on a D-Bus
 * session of its own: a TPM has room for three objects at a time, so without one generating keys
 * fails. No root.
 */
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { isRoot } from "../lib/apt.mjs";
import { capture } from "../lib/run.mjs";
import {
  daemon,
  freePortPair,
  freshLabel,
  libraryEnv,
  makeToken,
  packagesFor,
  resolve,
  versionOf,
} from "./stack.mjs";

/** Test PINs, good for nothing. */
const PIN = "482736";
const SO_PIN = "87654321";

const PACKAGES = {
  name: "tpm2",
  file: "usr/lib/ARCH/pkcs11/libtpm2_pkcs11.so",
  install: [
    "swtpm",
    "libtpm2-pkcs11-1",
    "libtss2-tcti-swtpm0",
    "tpm2-abrmd",
    "libtss2-tcti-tabrmd0",
    "dbus-daemon",
  ],
  unpack: [
    "swtpm",
    "swtpm-libs",
    "libtpms0",
    "libtpm2-pkcs11-1",
    "libtss2-esys-3.0.2-0",
    "libtss2-mu0",
    "libtss2-rc0",
    "libtss2-sys1",
    "libtss2-tctildr0",
    "libtss2-tcti-swtpm0",
    "libtss2-tcti-tabrmd0",
    "tpm2-abrmd",
    "libyaml-0-2",
    "libsqlite3-0",
    "libglib2.0-0",
    "libjson-glib-1.0-0",
    "libseccomp2",
    "dbus-daemon",
    "dbus-bin",
    "libdbus-1-3",
    "libapparmor1",
    "libcap-ng0",
    "libexpat1",
  ],
};

/**
 * @param {import("./stack.mjs").StartOptions} options
 * @returns {Promise<import("./stack.mjs").Stack | import("./stack.mjs").Missing>}
 */
export async function start({ folder, mayFetch = true }) {
  const packages = packagesFor(PACKAGES, mayFetch);
  if ("reason" in packages) return packages;
  const { below, file: module, libraryPath } = packages;
  const program = (/** @type {string} */ name) =>
    resolve(below, `usr/bin/${name}`) ?? resolve(below, `usr/sbin/${name}`);
  const [swtpm, abrmd, bus, send] = ["swtpm", "tpm2-abrmd", "dbus-daemon", "dbus-send"].map(
    program,
  );
  if (!swtpm || !abrmd || !bus || !send) {
    return { reason: `one of ${PACKAGES.install.join(" ")} is not installed` };
  }
  const own = libraryEnv(libraryPath);

  /** @type {(() => Promise<void>)[]} */
  const stops = [];
  const stop = async () => {
    for (const one of stops.splice(0).reverse()) await one();
  };
  try {
    const port = await freePortPair();
    await run(swtpm, swtpmArgs(folder, port), {
      env: own,
      log: path.join(folder, "swtpm.log"),
      ready: () => listens(port + 1),
    });
    const address = `unix:path=${path.join(folder, "bus")}`;
    await run(bus, ["--nofork", "--nopidfile", `--config-file=${busConfiguration(folder)}`], {
      env: own,
      log: path.join(folder, "bus.log"),
      ready: () => fs.existsSync(path.join(folder, "bus")),
    });
    const onBus = { ...own, DBUS_SESSION_BUS_ADDRESS: address };
    // By default a client has room for 27 objects, which tpm2-pkcs11 fills with its keys.
    const args = ["--session", "--max-transients=100", `--tcti=swtpm:host=127.0.0.1,port=${port}`];
    await run(abrmd, [...args, ...(isRoot() ? ["--allow-root"] : [])], {
      env: onBus,
      log: path.join(folder, "abrmd.log"),
      ready: () => hasOwner(send, onBus),
    });
    const store = path.join(folder, "store");
    fs.mkdirSync(store, { mode: 0o700 });
    const env = {
      ...onBus,
      TPM2_PKCS11_TCTI: "tabrmd:bus_type=session",
      TPM2_PKCS11_STORE: store,
      TPM2_PKCS11_LOG_LEVEL: "0",
      TSS2_LOG: "all+NONE",
    };
    const label = freshLabel("tpm2");
    const failure = await makeToken({ module, env, label, pin: PIN, soPin: SO_PIN });
    if (failure !== null) throw new NotHere(failure);
    const versions =
      `tpm2-pkcs11 ${versionOf("libtpm2-pkcs11-1", below)}, ` +
      `swtpm ${versionOf("swtpm", below)}, tpm2-abrmd ${versionOf("tpm2-abrmd", below)}`;
    return { name: "tpm2", versions, module, env, tokenLabel: label, pin: PIN, stop };
  } catch (error) {
    await stop();
    if (error instanceof NotHere) return { reason: error.message };
    throw error;
  }

  /**
   * @param {string} file
   * @param {readonly string[]} args
   * @param {Parameters<typeof daemon>[2]} options
   */
  async function run(file, args, options) {
    const running = await daemon(file, args, options);
    if ("reason" in running) throw new NotHere(running.reason);
    stops.push(running.stop);
  }
}

class NotHere extends Error {}

/**
 * @param {string} folder
 * @param {number} port its successor is the control channel's, as the TCTI expects
 */
function swtpmArgs(folder, port) {
  const state = path.join(folder, "state");
  fs.mkdirSync(state, { mode: 0o700 });
  return [
    "socket",
    "--tpm2",
    "--tpmstate",
    `dir=${state}`,
    "--server",
    `type=tcp,port=${port},bindaddr=127.0.0.1`,
    "--ctrl",
    `type=tcp,port=${port + 1},bindaddr=127.0.0.1`,
    "--flags",
    "not-need-init,startup-clear",
  ];
}

/**
 * A bus for one's own processes and nothing else.
 * @param {string} folder
 */
function busConfiguration(folder) {
  const file = path.join(folder, "bus.conf");
  const text = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=${path.join(folder, "bus")}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`;
  fs.writeFileSync(file, text, { mode: 0o600 });
  return file;
}

/**
 * True when the resource manager has its name on the bus.
 * @param {string} send
 * @param {Record<string, string>} env
 */
function hasOwner(send, env) {
  const { status, output } = capture(
    send,
    [
      `--bus=${env["DBUS_SESSION_BUS_ADDRESS"]}`,
      "--print-reply",
      "--dest=org.freedesktop.DBus",
      "/",
      "org.freedesktop.DBus.NameHasOwner",
      "string:com.intel.tss2.Tabrmd",
    ],
    { env: { ...process.env, ...env } },
  );
  return status === 0 && output.includes("boolean true");
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function listens(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
