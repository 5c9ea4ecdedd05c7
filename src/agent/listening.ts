/**
 * Listening at a socket of one's own: made for its owner alone, in place of one that a dead agent
 * left, and never of one that somebody listens at; or taken over from systemd.
 */
import { fstatSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import type { Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { connect } from "node:net";
import { UsageError } from "../errors.js";
import { withLock } from "../store/lock.js";
import { errno, fileError } from "../store/system-error.js";
import { makeSocketFolder } from "./socket-path.js";

/** Where an agent listens. */
export interface Listening {
  /** The socket's path; undefined: systemd's socket, whose path systemd knows. */
  readonly path?: string;
  /** Removes the socket, if it is still the same. */
  readonly remove: () => void;
}

/**
 * Listens at `path`.
 *
 * @throws UsageError `ERR_AGENT_RUNS`; PolicyError `ERR_UNSAFE_FILE`; FileError `ERR_WRITE`,
 *   `ERR_LOCKED`
 */
export async function listenAt(path: string, server: Server): Promise<Listening> {
  const folder = dirname(path);
  await makeSocketFolder(folder);
  // Two agents that start at once must not both take the other's socket for a dead one's.
  return withLock(join(folder, `${basename(path)}.lock`), async () => {
    await requireDead(path);
    await bound(path, server);
    const { ino, dev } = lstatSync(path);
    const remove = (): void => {
      const now = lstatSync(path, { throwIfNoEntry: false });
      if (now?.ino === ino && now.dev === dev) unlinkSync(path);
    };
    return { path, remove };
  });
}

/**
 * Binds the socket so that it is never open to others, not even for a moment. It gets its name
 * afterwards: a server that closes removes whatever has the name that it was bound to, and by then
 * that may be the socket of another agent.
 */
async function bound(path: string, server: Server): Promise<void> {
  const first = join(dirname(path), `.${process.pid}`);
  // A path of the longest may have no room for another name.
  const isRoomy = Buffer.byteLength(first) <= Buffer.byteLength(path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      reject(fileError("ERR_WRITE", path, error));
    });
    // Bound before `listen` returns.
    const before = process.umask(0o177);
    try {
      server.listen(isRoomy ? first : path, resolve);
    } finally {
      process.umask(before);
    }
  });
  if (isRoomy) renameSync(first, path);
}

/** Removes a socket at which nobody listens. @throws UsageError `ERR_AGENT_RUNS` */
async function requireDead(path: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) {
    throw new UsageError("ERR_AGENT_SOCKET", `"${path}" is there already, and is no socket`);
  }
  if (await isAlive(path)) {
    throw new UsageError("ERR_AGENT_RUNS", `an agent listens at "${path}" already`, {
      hint: "see it with: p11seal agent status; end it with: p11seal agent stop",
    });
  }
  unlinkSync(path);
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // Anything but a refusal may be a living agent that has no time.
    socket.once("error", (error) => {
      resolve(errno(error) !== "ECONNREFUSED" && errno(error) !== "ENOENT");
    });
  });
}

/**
 * The descriptor of the socket that systemd listens at on the agent's behalf (sd_listen_fds(3));
 * undefined: it has passed none. The variables are removed, so that no child process takes the
 * descriptor for its own.
 *
 * @throws UsageError `ERR_AGENT_SOCKET`
 */
export function activatedDescriptor(env: Record<string, string | undefined>): number | undefined {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = env;
  delete env["LISTEN_PID"];
  delete env["LISTEN_FDS"];
  delete env["LISTEN_FDNAMES"];
  if (count === undefined || pid !== String(process.pid)) return undefined;
  if (count === "1" && isSocket(FIRST_DESCRIPTOR)) return FIRST_DESCRIPTOR;
  throw new UsageError("ERR_AGENT_SOCKET", `systemd passed ${count} descriptors, not one socket`, {
    hint: "the unit p11seal-agent.socket has one ListenStream=",
  });
}

/** SD_LISTEN_FDS_START. */
const FIRST_DESCRIPTOR = 3;

function isSocket(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isSocket();
  } catch {
    return false;
  }
}

/** Listens at a socket that is open already. */
export async function listenAtDescriptor(fd: number, server: Server): Promise<Listening> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ fd }, resolve);
  });
  return { remove: () => undefined };
}
