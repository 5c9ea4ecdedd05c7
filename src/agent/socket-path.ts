/**
 * Where the agent's socket is, and who may have put it there. A folder and a socket that only their
 * owner can reach are what keeps other users out; on Linux, abstract sockets would have no owner.
 */
import { lstatSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { PolicyError, UsageError } from "../errors.js";
import { openFolderAbove } from "../store/file-modes.js";
import { pathOfHome } from "../store/home.js";
import { errno, fileError } from "../store/system-error.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** The variable that names another socket, as on a host that one was forwarded to. */
export const SOCKET_VARIABLE = "P11SEAL_AGENT_SOCK";

/**
 * `P11SEAL_AGENT_SOCK`; or `p11seal/agent.sock` in the folder that the system keeps for the user's
 * session (XDG Base Directory Specification); or in the data folder, where there is no session.
 *
 * @throws UsageError `ERR_AGENT_SOCKET`
 */
export function agentSocketPath(env: Environment): string {
  return requireUsable(env[SOCKET_VARIABLE] ?? join(agentFolder(env), "agent.sock"));
}

/** The folder of the user's sockets. */
export function agentFolder(env: Environment): string {
  const session = env["XDG_RUNTIME_DIR"];
  return session !== undefined && isAbsolute(session)
    ? join(session, "p11seal")
    : join(pathOfHome(env), "agent");
}

/** @throws UsageError `ERR_AGENT_SOCKET` */
export function requireUsable(path: string): string {
  if (!isAbsolute(path)) {
    throw new UsageError("ERR_AGENT_SOCKET", `the agent's socket has no absolute path: "${path}"`, {
      hint: `set ${SOCKET_VARIABLE} to an absolute path`,
    });
  }
  const length = Buffer.byteLength(path);
  if (length <= MAX_PATH_BYTES) return path;
  throw new UsageError(
    "ERR_AGENT_SOCKET",
    `the path of the agent's socket has ${length} bytes; a socket's has at most ${MAX_PATH_BYTES}`,
    { hint: `set ${SOCKET_VARIABLE} to a shorter one, in a folder of your own` },
  );
}

/** sockaddr_un's path, without its final zero: Linux (unix(7)), and the BSDs with macOS. */
const MAX_PATH_BYTES = process.platform === "linux" ? 107 : 103;

/**
 * Makes the folder of a socket, for its owner alone. One that is there is used only if it is the
 * user's own, and nobody else can enter it or put another in its place.
 *
 * @throws PolicyError `ERR_UNSAFE_FILE`; FileError `ERR_WRITE`
 */
export async function makeSocketFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileError("ERR_WRITE", folder, error);
  }
  const stats = lstatSync(folder);
  if (!stats.isDirectory()) throw unsafe(folder, "is not a folder, or a link to one");
  if (stats.uid !== process.geteuid?.()) throw unsafe(folder, "belongs to another user");
  if ((stats.mode & 0o077) !== 0) throw unsafe(folder, "is open to other users");
  const above = openFolderAbove(folder, folder);
  if (above !== undefined) throw unsafe(folder, above);
}

/**
 * Whether there is a socket at the path that this user made. The kernel lets nobody but its owner
 * and root connect to it where its mode is 0600.
 *
 * @throws FileError `ERR_READ`
 */
export function isOwnSocket(path: string): boolean {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    return stats?.isSocket() === true && stats.uid === process.geteuid?.();
  } catch (error) {
    if (errno(error) === "ENOTDIR") return false;
    throw fileError("ERR_READ", path, error);
  }
}

/** No command to be copied: the folder may be one that others need, as /tmp. */
function unsafe(folder: string, fact: string): PolicyError {
  return new PolicyError("ERR_UNSAFE_FILE", `"${folder}" ${fact}`, {
    hint: `the socket needs a folder that is yours alone (mode 0700); ${SOCKET_VARIABLE} names another`,
  });
}
