/**
 * A new file that takes an old one's name, mode and owner in one step, or leaves it as it is. The
 * new one has a new time of change, or backups would pass it over. Access control lists and
 * extended attributes are lost, as Node has no call for them.
 */
import { closeSync, fchmodSync, fchownSync, fstatSync, unlinkSync } from "node:fs";
import { rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { FileError } from "../errors.js";
import { flush, syncFolder } from "./flush.js";
import type { OldFile } from "./old-file.js";
import { errno, fileError, isDiskFull, isOfSystem, quoted } from "./system-error.js";
import { ownTemporaryBeside } from "./temporary.js";

export interface TakePlaceOptions {
  /** Called right before the file changes; may throw to leave it as it is. */
  readonly confirm?: (() => Promise<void>) | undefined;
  /** Registers what is to be undone when a signal ends the process; returns how to forget it. */
  readonly onInterrupt?: ((undo: () => void) => () => void) | undefined;
  /** What to do about a file of another user. */
  readonly ownerHint: string;
}

/**
 * Replaces a file. The new one is on the disk when this resolves; on an error the old one is as it
 * was.
 *
 * @param fill - makes the new file at the path that it gets, and writes all of it; the
 *   descriptor that it returns is closed here
 * @throws FileError `ERR_CHANGED`: somebody changed the old file meanwhile; `ERR_OWNER`,
 *   `ERR_WRITE`; whatever `fill` and `confirm` throw
 */
export async function takePlace(
  file: OldFile,
  fill: (temporary: string) => Promise<number>,
  { confirm, onInterrupt, ownerHint }: TakePlaceOptions,
): Promise<void> {
  const { path } = file;
  const temporary = ownTemporaryBeside(path);
  const forget = onInterrupt?.(() => {
    unlinkSync(temporary);
  });
  try {
    const made = await fill(temporary);
    try {
      keepOwnerAndMode(file, made, ownerHint);
      await flush(made);
    } finally {
      closeSync(made);
    }
    await confirm?.();
    file.requireUnchanged();
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw isOfSystem(error) ? notWritten(path, error) : error;
  } finally {
    forget?.();
  }
  await syncFolder(dirname(path)).catch((error: unknown) => {
    const hint = "the new file is there, but may not be on the disk yet: run it again";
    throw fileError("ERR_WRITE", path, error, hint);
  });
}

/** @throws FileError `ERR_HARD_LINK`: replacing one name would leave the others as they are */
export function requireOneName({ path, stats }: OldFile, hint: string): void {
  if (stats.nlink <= 1n) return;
  throw new FileError("ERR_HARD_LINK", `${quoted(path)} has ${stats.nlink} names (hard links)`, {
    hint,
  });
}

/** @throws FileError `ERR_OWNER`: with another owner, the same mode would let other people in */
function keepOwnerAndMode({ path, stats }: OldFile, made: number, hint: string): void {
  const own = fstatSync(made, { bigint: true });
  if (own.uid !== stats.uid || own.gid !== stats.gid) {
    try {
      fchownSync(made, Number(stats.uid), Number(stats.gid));
    } catch (error) {
      if (errno(error) !== "EPERM") throw error;
      const whom = own.uid === stats.uid ? "group" : "user";
      throw new FileError("ERR_OWNER", `${quoted(path)} belongs to another ${whom}`, {
        cause: error,
        hint,
      });
    }
  }
  if (own.mode !== stats.mode) fchmodSync(made, Number(stats.mode) & 0o7777);
}

function notWritten(path: string, error: unknown): FileError {
  const hint = isDiskFull(error)
    ? "make room on that disk; the file is as it was"
    : "the file is as it was";
  return fileError("ERR_WRITE", path, error, hint);
}
