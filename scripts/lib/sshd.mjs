/** OpenSSH's server, for the test that carries an agent's socket to another host. */
import fs from "node:fs";
import path from "node:path";
import { aptFailure, aptInstall, aptUnpack, hasApt, isRoot } from "./apt.mjs";
import { cache } from "./run.mjs";

const UNPACKED = path.join(cache, "openssh");

/** What the test runs, in this order of preference. */
const PLACES = ["/usr/sbin/sshd", path.join(UNPACKED, "usr/sbin/sshd")];

/**
 * Gets the server if need be. It is never started here; where installing it would start it, it is
 * left out.
 * @returns {{ program: string } | { reason: string }}
 */
export function ensureSshd() {
  const found = present();
  if (found !== undefined) return found;
  if (!hasApt()) return { reason: "there is no sshd, and no apt to get it with" };
  if (isRoot() && fs.existsSync("/run/systemd/system")) {
    return { reason: "installing openssh-server would start it on this machine" };
  }
  // As root it needs a user of its own, which the package makes.
  const got = isRoot()
    ? aptInstall(["openssh-server"])
    : aptUnpack(["openssh-server", "libwrap0"], UNPACKED);
  return (got ? present() : undefined) ?? { reason: `sshd could not be got:\n${aptFailure()}` };
}

function present() {
  const program = PLACES.find((one) => fs.existsSync(one));
  return program === undefined ? undefined : { program };
}
