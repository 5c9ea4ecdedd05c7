/**
 * openCryptoki's software token. Its configuration, its daemon and the token's files belong to the
 * whole machine, so this needs root, one run at a time, and a machine where nobody else uses
 * openCryptoki: any configuration but Debian's own (or one we left behind) is left alone.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { isRoot } from "../lib/apt.mjs";
import { capture } from "../lib/run.mjs";
import { daemon, freshLabel, makeToken, packagesFor, until, versionOf } from "./stack.mjs";

/** Test PINs, good for nothing; openCryptoki takes 4 to 8 characters. */
const PIN = "482736";
const FIRST_PIN = "111222";
const DEFAULT_SO_PIN = "87654321";
const SO_PIN = "76543210";

const PACKAGES = {
  name: "opencryptoki",
  file: "usr/lib/ARCH/pkcs11/libopencryptoki.so",
  install: ["opencryptoki"],
};

const CONFIGURATION = "/etc/opencryptoki/opencryptoki.conf";
const BACKUP = `${CONFIGURATION}.p11seal-saved`;
const TOKEN = "/var/lib/opencryptoki/swtok";
const LOCKS = "/var/lock/opencryptoki";
const SOCKET = "/var/run/pkcsslotd.socket";
const PID_FILE = "/var/run/pkcsslotd.pid";

/** Held by the run that uses openCryptoki; holds its process's number. */
const CLAIM = "/run/p11seal-opencryptoki.claim";

/** By this first line a configuration is known as ours. */
const MARK = "# written by p11seal's tests; the package's own is beside it";
const ONE_SOFT_SLOT = `version opencryptoki-3.8
${MARK}
slot 3
{
stdll = libpkcs11_sw.so
}
`;

/**
 * How long a run waits for another one on this machine: one that has to have all stacks, longer.
 */
const PATIENCE_SECONDS = { must: 180, may: 2 };

/**
 * @param {import("./stack.mjs").StartOptions} options
 * @returns {Promise<import("./stack.mjs").Stack | import("./stack.mjs").Missing>}
 */
export async function start({ folder, mayFetch = true }) {
  if (!isRoot()) return { reason: "openCryptoki's daemon and configuration need root" };
  const packages = packagesFor(PACKAGES, mayFetch);
  if ("reason" in packages) return packages;
  if (!(await until(claim, mayFetch ? PATIENCE_SECONDS.must : PATIENCE_SECONDS.may))) {
    return { reason: `another run of these tests uses openCryptoki (${CLAIM})` };
  }
  const taken = whyNotOurs();
  if (taken !== null) {
    fs.rmSync(CLAIM, { force: true });
    return { reason: taken };
  }
  takeOver();
  process.once("exit", giveBack);
  /** @type {(() => Promise<void>) | undefined} */
  let end;
  const stop = async () => {
    await end?.();
    giveBack();
    process.off("exit", giveBack);
  };
  const running = await daemon("/usr/sbin/pkcsslotd", ["-f"], {
    log: path.join(folder, "pkcsslotd.log"),
    ready: () => fs.existsSync(SOCKET),
  });
  if ("reason" in running) {
    await stop();
    return running;
  }
  end = running.stop;
  const { file: module } = packages;
  const label = freshLabel("ock");
  const pins = { pin: PIN, firstPin: FIRST_PIN, soPin: DEFAULT_SO_PIN, newSoPin: SO_PIN };
  const failure = await makeToken({ module, env: {}, slot: 0, label, ...pins });
  if (failure !== null) {
    await stop();
    return { reason: failure };
  }
  const versions = `openCryptoki ${versionOf("opencryptoki")}`;
  return { name: "opencryptoki", versions, module, env: {}, tokenLabel: label, pin: PIN, stop };
}

/** True when this process holds the claim; one whose process has ended counts for nothing. */
function claim() {
  try {
    fs.writeFileSync(CLAIM, String(process.pid), { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
  }
  try {
    const pid = Number(fs.readFileSync(CLAIM, "utf8"));
    if (pid > 0 && !fs.existsSync(`/proc/${pid}`)) fs.rmSync(CLAIM, { force: true });
  } catch {
    // Just given back: the next try gets it.
  }
  return false;
}

/** What forbids to use this machine's openCryptoki; null when nothing does. */
function whyNotOurs() {
  const text = fs.existsSync(CONFIGURATION) ? fs.readFileSync(CONFIGURATION, "utf8") : "";
  const isOurs = text.includes(MARK);
  if (!isOurs && !isPackaged(text)) {
    return `${CONFIGURATION} is not the package's own; it was left alone`;
  }
  if (!isOurs && fs.readdirSync(TOKEN).some((name) => name !== "TOK_OBJ")) {
    return `${TOKEN} holds a token of somebody's; it was left alone`;
  }
  const running = daemons();
  if (running.length > 0 && !isOurs) return "openCryptoki's daemon pkcsslotd runs already";
  // Under a configuration of ours, it is one that a run which was killed has left behind.
  for (const pid of running) process.kill(pid, "SIGKILL");
  return null;
}

/** True for the text that the package came with, by dpkg's record of it. */
function isPackaged(/** @type {string} */ text) {
  const { output } = capture("dpkg-query", ["-W", "-f", "${Conffiles}", "opencryptoki"]);
  const md5 = createHash("md5").update(text).digest("hex");
  return output.includes(` ${CONFIGURATION} ${md5}`);
}

/** Numbers of the daemon's processes. */
function daemons() {
  if (!fs.existsSync("/proc")) return [];
  return fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "pkcsslotd";
      } catch {
        return false;
      }
    });
}

/** Our configuration, and an empty token. */
function takeOver() {
  if (!fs.existsSync(BACKUP)) fs.copyFileSync(CONFIGURATION, BACKUP);
  fs.writeFileSync(CONFIGURATION, ONE_SOFT_SLOT);
  empty();
}

/** The package's configuration again, and no token. */
function giveBack() {
  empty();
  if (fs.existsSync(BACKUP)) fs.renameSync(BACKUP, CONFIGURATION);
  fs.rmSync(SOCKET, { force: true });
  fs.rmSync(PID_FILE, { force: true });
  fs.rmSync(CLAIM, { force: true });
}

/** Removes the token's files. The folder for its objects stays, with nothing in it. */
function empty() {
  fs.rmSync(TOKEN, { recursive: true, force: true });
  fs.mkdirSync(path.join(TOKEN, "TOK_OBJ"), { recursive: true });
  fs.mkdirSync(path.join(LOCKS, "swtok"), { recursive: true });
  for (const folder of [TOKEN, path.join(TOKEN, "TOK_OBJ"), path.join(LOCKS, "swtok")]) {
    const { status } = capture("chgrp", ["pkcs11", folder]);
    if (status === 0) fs.chmodSync(folder, 0o770);
  }
  // The token's shared memory outlives its files, and would remember the old one.
  for (const name of fs.existsSync("/dev/shm") ? fs.readdirSync("/dev/shm") : []) {
    if (name.includes("opencryptoki") && name.includes("swtok")) {
      fs.rmSync(path.join("/dev/shm", name), { force: true });
    }
  }
}
