/**
 * SoftHSM behind p11-kit's server: the token lives in a process of its own, with the system's
 * OpenSSL instead of Node's, and is reached over a socket. No root.
 */
import fs from "node:fs";
import path from "node:path";
import { ensureSoftHsm, findSoftHsm } from "../lib/modules.mjs";
import { softHsmToken } from "./softhsm.mjs";
import { daemon, libraryEnv, packagesFor, resolve, versionOf } from "./stack.mjs";

const PACKAGES = {
  name: "p11-kit",
  file: "usr/lib/ARCH/pkcs11/p11-kit-client.so",
  install: ["p11-kit", "p11-kit-modules"],
  unpack: ["p11-kit", "p11-kit-modules", "libp11-kit0", "libtasn1-6", "libffi8"],
};

/**
 * @param {import("./stack.mjs").StartOptions} options
 * @returns {Promise<import("./stack.mjs").Stack | import("./stack.mjs").Missing>}
 */
export async function start({ folder, mayFetch = true }) {
  const packages = packagesFor(PACKAGES, mayFetch);
  if ("reason" in packages) return packages;
  const { below, file: client, libraryPath } = packages;
  const server = ["usr/libexec/p11-kit", "usr/lib/p11-kit", "usr/lib/ARCH/p11-kit"]
    .map((place) => resolve(below, path.join(place, "p11-kit-server")))
    .find((one) => one !== null);
  if (server === undefined) return { reason: "p11-kit has no server here" };
  const softHsm = mayFetch ? ensureSoftHsm() : findSoftHsm();
  if (softHsm === null) return { reason: "SoftHSM is not installed" };
  const token = await softHsmToken("p11kit", softHsm, folder);
  if ("reason" in token) return token;

  const socket = path.join(folder, "socket");
  const args = ["-f", "-n", socket, "--provider", softHsm, `pkcs11:token=${token.tokenLabel}`];
  const own = { P11_KIT_PRIVATEDIR: path.dirname(server), ...libraryEnv(libraryPath) };
  const running = await daemon(server, args, {
    env: { ...token.env, ...own },
    log: path.join(folder, "server.log"),
    ready: () => fs.existsSync(socket),
  });
  if ("reason" in running) return running;
  return {
    ...token,
    versions: `p11-kit ${versionOf("p11-kit", below)}, ${token.versions}`,
    module: client,
    env: { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}`, ...libraryEnv(libraryPath) },
    stop: running.stop,
  };
}
