/**
 * File systems that a test can fill or make read-only: only root can mount them, and not
 * everywhere.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, statfsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { freshFolder } from "./messages.js";

export interface SmallDisk {
  readonly folder: string;
  /** The same folder, mounted read-only. */
  readonly readOnly: string;
  /** Fills all the space that is left. */
  fill(): void;
  remove(): void;
}

export function mountSmallDisk(): SmallDisk {
  const above = freshFolder();
  const [folder, readOnly] = [path.join(above, "disk"), path.join(above, "read-only")];
  for (const point of [folder, readOnly]) mkdirSync(point, { mode: 0o700 });
  mount(["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", folder]);
  mount(["--bind", folder, readOnly]);
  mount(["-o", "remount,ro,bind", readOnly]);
  return {
    folder,
    readOnly,
    fill: () => {
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(path.join(folder, "ballast"), new Uint8Array(bavail * bsize));
    },
    remove: () => {
      // Lazy unmount: the binding closes a database only on garbage collection.
      for (const point of [readOnly, folder]) spawnSync("umount", ["-l", point]);
    },
  };
}

/** True if this process may mount. Otherwise, tests that need it are skipped by name. */
export const CAN_MOUNT = canMount();

function canMount(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  try {
    mountSmallDisk().remove();
    return true;
  } catch {
    return false;
  }
}

function mount(args: readonly string[]): void {
  const { status, stderr } = spawnSync("mount", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`mount ${args.join(" ")}: ${stderr}`);
}
