/**
 * A lock between processes, without a database: for the text files of the data folder.
 *
 * A lock is a folder with exactly one file, whose name says who holds it: `free`, or `held-` and a
 * process. Taking the lock, taking it over from a dead process, and giving it back are each one
 * rename of a name that occurs once. If several processes try, one succeeds and the others find the
 * name gone. Nobody ever deletes a stale lock, which might by then be somebody's fresh one.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileError } from "../errors.js";
import { isRunning, thisProcess } from "./owner.js";
import { errno, quoted, reason } from "./system-error.js";

/** How long a process waits for others, whose work under these locks takes milliseconds. */
const WAIT_MS = 10_000;

/**
 * Runs `action` while no other process, and no other call in this one, holds the lock at `path`.
 * The parent folder must exist.
 *
 * @throws FileError `ERR_LOCKED` after waiting, `ERR_WRITE`; whatever `action` throws
 */
export async function withLock<T>(
  path: string,
  action: () => Promise<T>,
  options: { readonly waitMs?: number } = {},
): Promise<T> {
  const held = await take(path, options.waitMs ?? WAIT_MS);
  try {
    return await action();
  } finally {
    // Fails only if somebody removed the folder: then there is nothing to give back.
    await rename(held, join(path, FREE)).catch(() => undefined);
  }
}

// ── Details ──

const FREE = "free";
const HELD = /^held-(.+)-[0-9a-f]{16}$/;

/** The name of its file while we hold it. */
async function take(path: string, waitMs: number): Promise<string> {
  const mine = join(path, `held-${thisProcess()}-${randomBytes(8).toString("hex")}`);
  const deadline = Date.now() + waitMs;
  for (;;) {
    const names = await namesIn(path);
    if (names === undefined) await makeLock(path);
    const takeable = names?.find((name) => name === FREE || isAbandoned(name));
    if (takeable !== undefined && (await renamed(join(path, takeable), mine))) return mine;
    if (Date.now() >= deadline) {
      throw new FileError("ERR_LOCKED", `another process holds "${path}"`, {
        hint: "wait for it; if no p11seal is running, remove that folder",
      });
    }
    // Random, so that two that wait don't keep colliding.
    await sleep(2 + Math.random() * 10);
  }
}

function isAbandoned(name: string): boolean {
  const [, owner] = HELD.exec(name) ?? [];
  return owner !== undefined && isRunning(owner) === false;
}

async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (errno(error) === "ENOENT") return false;
    throw failed(to, error);
  }
}

async function namesIn(path: string): Promise<string[] | undefined> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errno(error) === "ENOENT") return undefined;
    throw failed(path, error);
  }
}

/** Appears with its one file, or not at all: rename never replaces a folder that is not empty. */
async function makeLock(path: string): Promise<void> {
  try {
    const made = await mkdtemp(`${path}.`);
    await writeFile(join(made, FREE), "", { mode: 0o600 });
    await rename(made, path).catch(async (error: unknown) => {
      await rm(made, { recursive: true, force: true });
      if (!SOMEBODY_WAS_FASTER.has(errno(error) ?? "")) throw error;
    });
  } catch (error) {
    throw failed(path, error);
  }
}

/** What POSIX rename(2) says of a target that is not empty, and, last, what Windows says. */
const SOMEBODY_WAS_FASTER: ReadonlySet<string> = new Set(["ENOTEMPTY", "EEXIST", "EPERM"]);

function failed(path: string, error: unknown): FileError {
  const fact = `cannot lock ${quoted(path)}: ${reason(error)}`;
  return new FileError("ERR_WRITE", fact, { cause: error });
}
