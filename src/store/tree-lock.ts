/**
 * The lock of a tree of messages: of two runs that would change files in it, one works at a time.
 * It lies in the tree, since the other may be another user's, on another machine. A tree in another
 * one counts as the same: a run on the inner one looks for locks above, and one on the outer one
 * meets the inner lock on its way (`refusesLocked` in `message-tree.ts`). Runs on different shards
 * of a tree (`1/4`, `2/4`) may work side by side.
 *
 * Each run takes its own lock first and then looks for those of others. So of two that begin at
 * once, at least one sees the other.
 */
import { readdir, realpath } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileError } from "../errors.js";
import { isLockHeld, removeLock, withLock, type HeldLock } from "./lock.js";
import { fileError, quoted } from "./system-error.js";
import { lockedShard, lockNameOf } from "./work-files.js";

export interface TreeLockOptions {
  /** Of which the run does a part. */
  readonly shard?: { readonly part: number; readonly of: number };
  /** How long to wait for others, milliseconds. */
  readonly waitMs?: number;
}

/**
 * Runs `action` while no other run works on these folders, on some above, or on the same shard.
 *
 * @throws FileError `ERR_LOCKED` after waiting, `ERR_READ`; `ERR_WRITE` for a folder where nothing
 *   can be written; whatever `action` throws
 */
export async function withTreeLocks<T>(
  folders: readonly string[],
  options: TreeLockOptions,
  action: (lock: HeldLock) => Promise<T>,
): Promise<T> {
  const roots = await rootsOf(folders);
  const deadline = Date.now() + (options.waitMs ?? WAIT_MS);
  for (;;) {
    const others = { inTheWay: "" };
    const result = await holding(roots, options, async (lock) => {
      others.inTheWay = (await firstInTheWay(roots, options)) ?? "";
      return others.inTheWay === "" ? { done: await action(lock) } : undefined;
    });
    if (result !== undefined) return result.done;
    if (Date.now() >= deadline) throw locked(others.inTheWay);
    // Random, so that two that saw each other don't meet again.
    await sleep(20 + Math.random() * 200);
  }
}

/** The first lock among the names in a folder that a run holds; undefined if there is none. */
export async function heldLockIn(
  folder: string,
  names: readonly string[],
): Promise<string | undefined> {
  for (const name of names) {
    const path = join(folder, name);
    if (lockedShard(name) !== undefined && (await isLockHeld(path))) return path;
  }
  return undefined;
}

/** For a folder in a tree where another run works. */
export function locked(path: string): FileError {
  return new FileError("ERR_LOCKED", `another run holds ${quoted(path)}`, {
    hint: "wait for it; runs on different shards of one tree may go side by side (--shard 1/4)",
  });
}

// ── Details ──

/** Those that a person started by mistake a second time end soon; those of a script can wait. */
const WAIT_MS = 10_000;

/** Without links, sorted, so that no two runs wait for each other, and without those in others. */
async function rootsOf(folders: readonly string[]): Promise<readonly string[]> {
  const real = folders.map((folder) =>
    realpath(folder).catch((error: unknown) => {
      throw fileError("ERR_READ", folder, error);
    }),
  );
  const sorted = [...new Set(await Promise.all(real))].sort();
  return sorted.filter((one) => !sorted.some((other) => other !== one && isBelow(one, other)));
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith(`..${sep}`);
}

async function holding<T>(
  [first, ...rest]: readonly string[],
  options: TreeLockOptions,
  action: (lock: HeldLock) => Promise<T>,
): Promise<T> {
  if (first === undefined) return action({ confirm: () => Promise.resolve() });
  const { shard, waitMs = WAIT_MS } = options;
  return withLock(
    join(first, lockNameOf(shard)),
    (mine) =>
      holding(rest, options, (others) =>
        action({
          async confirm() {
            await mine.confirm();
            await others.confirm();
          },
        }),
      ),
    { waitMs, isGuest: true },
  );
}

async function firstInTheWay(
  roots: readonly string[],
  { shard }: TreeLockOptions,
): Promise<string | undefined> {
  const mine = lockNameOf(shard);
  const isInTheWay = (name: string): boolean => {
    const other = lockedShard(name);
    const isApart = shard !== undefined && other?.of === shard.of && other.part !== shard.part;
    return other !== undefined && name !== mine && !isApart;
  };
  for (const root of roots) {
    const others = (await namesIn(root)).filter(isInTheWay);
    const found = await heldLockIn(root, others);
    if (found !== undefined) return found;
    // Left by runs that were killed. Who would take one over now sees ours, and waits.
    for (const name of others) await removeLock(join(root, name)).catch(() => undefined);
    for (let folder = root; folder !== dirname(folder);) {
      folder = dirname(folder);
      const above = await heldLockIn(folder, await namesIn(folder));
      if (above !== undefined) return above;
    }
  }
  return undefined;
}

/** Whoever may not even look into a folder is told nothing of who works there. */
function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}
