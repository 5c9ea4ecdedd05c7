/**
 * A lock between processes, without a database: for the text files of the data folder.
 *
 * A lock is a folder with exactly one file, whose name says who holds it: `free`, or `held-`, a
 * process (host, boot, PID namespace, PID, start; see `owner.ts`) and since when. Taking the lock,
 * taking it over, and giving it back are each one rename of a name that occurs once. If several
 * processes try, one succeeds and the others find the name gone. Nobody ever deletes a stale lock,
 * which might by then be somebody's fresh one.
 *
 * A lock is taken over from a process that is known to have ended. Whether one on another machine
 * or in another container lives, nobody here can see. So the holder's lock is a lease: while it
 * works, it shows that it lives by touching the file. Once it has not done so for a minute, and not
 * while somebody watched either, it counts as dead. A process that was stopped for that long, and
 * goes on, finds out before it writes (`HeldLock.confirm`).
 */
import { randomBytes } from "node:crypto";
import { lstatSync, readdirSync, renameSync, statSync, type Stats } from "node:fs";
import { chmod, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileError } from "../errors.js";
import { isRunning, thisProcess } from "./owner.js";
import { errno, quoted, reason } from "./system-error.js";

/** How long a process waits for others, whose work under these locks takes milliseconds. */
const WAIT_MS = 10_000;

/**
 * How long one of them sleeps before it looks again: mostly the first time is enough. Node knows no
 * shorter time.
 */
const FIRST_SLEEP_MS = 1;
const LONGEST_SLEEP_MS = 12;

/** How often a holder shows that it lives. */
const HEARTBEAT_MS = 1000;

/**
 * How old the last sign of life is before a process that can't be looked at counts as dead. More
 * than a holder's process may be blocked, as by a database that others use.
 */
const LEASE_MS = 60_000;

/** How long somebody must have watched without a sign of life: clocks may differ. */
const WATCH_MS = 3 * HEARTBEAT_MS;

/** A lock while it is held. */
export interface HeldLock {
  /**
   * Makes sure that nobody took the lock over, as after this process was stopped for a minute. Call
   * it right before writing.
   *
   * @throws FileError `ERR_LOCKED`
   */
  confirm(): Promise<void>;
}

export interface LockOptions {
  /** How long to wait for others, milliseconds. */
  readonly waitMs?: number;
  /**
   * For folders that are not p11seal's own: nothing is left when the lock is given back, and other
   * users may see who holds it.
   */
  readonly isGuest?: boolean;
}

/**
 * Runs `action` while no other process, and no other call in this one, holds the lock at `path`.
 * The parent folder must exist.
 *
 * @throws FileError `ERR_LOCKED` after waiting, `ERR_WRITE`; whatever `action` throws
 */
export async function withLock<T>(
  path: string,
  action: (lock: HeldLock) => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const held = await take(path, options);
  const heartbeat = setInterval(() => {
    const now = new Date();
    void utimes(held, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  heartbeat.unref();
  try {
    return await action({
      confirm: () =>
        new Promise((resolve) => {
          confirm(path, held);
          resolve();
        }),
    });
  } finally {
    clearInterval(heartbeat);
    // Fails only if somebody removed the folder, or took the lock over: nothing to give back.
    if (options.isGuest) await giveUp(path, held).catch(() => undefined);
    else giveBack(path, held);
  }
}

/**
 * Whether whoever held the lock at `path` has given it back, or nobody did. False also for one that
 * was killed: what it wrote last may not be on the disk.
 */
export function wasGivenBack(path: string): boolean {
  const names = namesIn(path);
  return names === undefined || names.includes(FREE);
}

/** Whether a process holds the lock at `path` that still runs, or showed a sign of life lately. */
export async function isLockHeld(path: string): Promise<boolean> {
  const names = await readdir(path).catch(() => []);
  for (const name of names) {
    const owner = HELD.exec(name)?.[1];
    const touched = await stat(join(path, name)).catch(() => undefined);
    if (owner === undefined || touched === undefined) continue;
    const isAlive = isRunning(owner) ?? Math.abs(Date.now() - touched.mtimeMs) <= LEASE_MS;
    if (isAlive) return true;
  }
  return false;
}

/** Removes the lock at `path`. Whoever waits for it finds none, and makes another. */
export async function removeLock(path: string): Promise<void> {
  const gone = `${path}.${randomBytes(3).toString("hex")}`;
  await rename(path, gone);
  await rm(gone, { recursive: true, force: true });
}

// ── Details ──

const FREE = "free";
const HELD = /^held-(.+)-([0-9a-f]{12})[0-9a-f]{4}$/;

/** The name of its file while we hold it. */
async function take(path: string, options: LockOptions): Promise<string> {
  const deadline = Date.now() + (options.waitMs ?? WAIT_MS);
  const watch = new Watch(path);
  let sleepMs = FIRST_SLEEP_MS;
  let before: readonly string[] = [];
  for (;;) {
    const names = namesIn(path);
    if (names === undefined) {
      await makeLock(path, options.isGuest ? 0o755 : 0o700);
      continue;
    }
    const mine = join(path, heldName());
    const isLate = Date.now() >= deadline;
    for (const name of names) {
      // Most holders are gone at the second look, and to look at one costs more than a short sleep.
      const mayBeAbandoned = isLate || before.includes(name);
      const isTakeable = name === FREE || (mayBeAbandoned && watch.isAbandoned(name));
      if (isTakeable && wasRenamed(join(path, name), mine)) return mine;
    }
    if (isLate) throw locked(path, watch.holder);
    before = names;
    // Random, so that two that wait don't keep colliding.
    await sleep(sleepMs * (0.5 + Math.random()));
    sleepMs = Math.min(2 * sleepMs, LONGEST_SLEEP_MS);
  }
}

/** Says who holds the lock, and since when: twelve digits are milliseconds, four are random. */
function heldName(): string {
  const since = Date.now().toString(16).padStart(12, "0");
  return `held-${thisProcess()}-${since}${randomBytes(2).toString("hex")}`;
}

/** What one process sees of a lock while it waits for it. */
class Watch {
  readonly #path: string;
  /** The last sign of life of a holder that can't be looked at, and since when it is the last. */
  #seen: { readonly sign: string; readonly sinceMs: number } | undefined;
  #holder: Holder = "unknown";

  constructor(path: string) {
    this.#path = path;
  }

  get holder(): Holder {
    return this.#holder;
  }

  isAbandoned(name: string): boolean {
    const [, owner, since] = HELD.exec(name) ?? [];
    if (owner === undefined || since === undefined) return false;
    const running = isRunning(owner);
    this.#holder = running === undefined ? "out of sight" : "here";
    if (running !== undefined) return !running;

    const touched = statsOf(join(this.#path, name));
    if (touched === undefined) return false;
    const sign = `${name} ${touched.mtimeMs}`;
    const nowMs = performance.now();
    if (this.#seen?.sign !== sign) this.#seen = { sign, sinceMs: nowMs };
    // A rename keeps the time of the last change, which may be older than the lock.
    const lastSignMs = Math.max(touched.mtimeMs, Number.parseInt(since, 16));
    const isExpired = Math.abs(Date.now() - lastSignMs) > LEASE_MS;
    return isExpired && nowMs - this.#seen.sinceMs >= WATCH_MS;
  }
}

type Holder = "here" | "out of sight" | "unknown";

function locked(path: string, holder: Holder): FileError {
  const elsewhere = holder === "out of sight";
  const who = elsewhere
    ? "a process on another machine or in another container"
    : "another process";
  return new FileError("ERR_LOCKED", `${who} holds ${quoted(path)}`, {
    hint: elsewhere
      ? "try again: a minute after its last sign of life, the lock is taken over"
      : "wait for it; if no p11seal is running, remove that folder",
  });
}

function confirm(path: string, held: string): void {
  try {
    statSync(held);
  } catch (error) {
    throw new FileError("ERR_LOCKED", `another process took ${quoted(path)} over`, {
      cause: error,
      hint: "this one was stopped for too long; nothing was written, so try again",
    });
  }
}

function wasRenamed(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (errno(error) === "ENOENT") return false;
    throw failed(to, error);
  }
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function namesIn(path: string): string[] | undefined {
  try {
    if (!lstatSync(path).isSymbolicLink()) return readdirSync(path);
  } catch (error) {
    if (errno(error) === "ENOENT") return undefined;
    throw failed(path, error);
  }
  // Whoever may write to a tree could have names in any other folder changed.
  throw failed(path, { code: "ELOOP" });
}

function giveBack(path: string, held: string): void {
  try {
    renameSync(held, join(path, FREE));
  } catch {
    // As above.
  }
}

async function giveUp(path: string, held: string): Promise<void> {
  await stat(held);
  await removeLock(path);
}

/** Appears with its one file, or not at all: rename never replaces a folder that is not empty. */
async function makeLock(path: string, mode: number): Promise<void> {
  try {
    const made = await mkdtemp(`${path}.`);
    try {
      await chmod(made, mode);
      await writeFile(join(made, FREE), "", { mode: 0o600 });
      await rename(made, path);
    } catch (error) {
      await rm(made, { recursive: true, force: true });
      if (!SOMEBODY_WAS_FASTER.has(errno(error) ?? "")) throw error;
    }
    await removeUnfinished(path);
  } catch (error) {
    throw failed(path, error);
  }
}

/**
 * What POSIX rename(2) says of a target that is not empty, and what Windows says. Whoever was
 * faster may also have removed what was made here.
 */
const SOMEBODY_WAS_FASTER: ReadonlySet<string> = new Set([
  "ENOTEMPTY",
  "EEXIST",
  "EPERM",
  "ENOENT",
]);

/** The lock is there, so nobody needs what others, perhaps killed by now, began to make. */
async function removeUnfinished(path: string): Promise<void> {
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    const isBegun = name.startsWith(`${basename(path)}.`) && /\.[A-Za-z0-9]{6}$/.test(name);
    if (isBegun) await rm(join(folder, name), { recursive: true, force: true });
  }
}

function failed(path: string, error: unknown): FileError {
  const fact = `cannot lock ${quoted(path)}: ${reason(error)}`;
  return new FileError("ERR_WRITE", fact, { cause: error });
}
