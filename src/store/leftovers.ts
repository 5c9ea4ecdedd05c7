/**
 * Temporary files that earlier runs left in a folder, because they were killed or the power failed.
 * The next run that writes there removes those that nobody needs: a file of our own, whose name
 * tells a process that has ended (`temporary.ts`, `owner.ts`). Others stay, since they may be in
 * use: of a process that can't be seen from here, or kept because a ledger names them.
 */
import { lstatSync, readdirSync, unlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { isRunning } from "./owner.js";
import { SIDE_NAME, TEMPORARY_NAME } from "./work-files.js";

export interface Leftover {
  readonly path: string;
  /**
   * `ended`: the next run that writes there removes it. `unseen`: its run may still go on, on
   * another machine or in another container. `kept`: no run removes it by itself; it may be an
   * accepted plaintext, or what a forced run replaced. `header`: belongs to a file whose header was
   * being overwritten, and goes when that is finished (`header-in-place.ts`).
   */
  readonly state: "ended" | "unseen" | "kept" | "header";
}

/** What is left in a folder, without what running processes use. Never throws. */
export function leftoversIn(folder: string): Leftover[] {
  return entriesIn(folder).flatMap(({ name, state }) =>
    state === "running" ? [] : [{ path: join(folder, name), state }],
  );
}

/**
 * Removes what nobody needs, once for each folder in the life of this process. Never throws: what
 * can't be removed stays, and gets in nobody's way.
 */
export function removeLeftovers(folder: string): void {
  const path = resolve(folder);
  if (looked.has(path)) return;
  looked.add(path);
  for (const { name, state } of entriesIn(path)) {
    if (state !== "ended") continue;
    attempt(() => {
      unlinkSync(join(path, name));
    });
  }
}

// ── Details ──

const looked = new Set<string>();

interface Entry {
  readonly name: string;
  readonly state: Leftover["state"] | "running";
}

function entriesIn(folder: string): Entry[] {
  const names = attempt(() => readdirSync(folder)) ?? [];
  return names.flatMap((name) => {
    const [match, owner, beside] = TEMPORARY_NAME.exec(name) ?? [];
    const isSideFile = SIDE_NAME.test(name);
    // A name that is not UTF-8 is none of ours, and would become another file's.
    if ((match === undefined && !isSideFile) || name.includes("\u{fffd}")) return [];
    const stats = attempt(() => lstatSync(join(folder, name)));
    // Not what somebody else put there, nor a link.
    if (stats?.isFile() !== true || stats.uid !== (process.geteuid?.() ?? stats.uid)) return [];
    if (isSideFile) return [{ name, state: "header" }];
    // The content that a forced run replaced, if this is its last name.
    const isLast = beside === ".old" && stats.nlink === 1;
    return [{ name, state: owner === undefined ? "kept" : stateOf(owner, isLast) }];
  });
}

function stateOf(owner: string, isLast: boolean): Entry["state"] {
  const running = isRunning(owner);
  if (running === undefined) return "unseen";
  if (running) return "running";
  return isLast ? "kept" : "ended";
}

function attempt<T>(step: () => T): T | undefined {
  try {
    return step();
  } catch {
    return undefined;
  }
}
