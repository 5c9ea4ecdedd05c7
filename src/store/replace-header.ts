/**
 * Puts another header before the same body: in a new file that takes the old one's name, or over
 * the old header (`header-in-place.ts`). Whatever fails, and whenever the process is killed, the
 * file has the old header and the whole body, or the new one and the whole body.
 *
 * Where the file system shares blocks between files (XFS, btrfs) and both headers have the same
 * size, the new file is a clone of the old one with its first bytes overwritten: the body is
 * neither read nor written. Elsewhere the body is copied.
 *
 * What the new file keeps of the old one: `take-place.ts`. Overwriting in place keeps all of it.
 */
import { closeSync, constants, open, openSync, read, writeSync } from "node:fs";
import { chmod, copyFile } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { busy, finishInPlace, overwriteHeader } from "./header-in-place.js";
import { removeLeftovers } from "./leftovers.js";
import { OldFile, readAt, writeAt } from "./old-file.js";
import { NO_FOLLOW } from "./open-flags.js";
import { errno, fileError } from "./system-error.js";
import { requireOneName, takePlace } from "./take-place.js";
import { CREATE } from "./temporary.js";

export interface HeaderChange {
  /** The file's first bytes, which the new header was made from. */
  readonly expected: Uint8Array;
  /** Of the file as it was opened to read them; otherwise it is opened here. */
  readonly fd?: number;
  readonly header: Uint8Array;
  /** Whether to overwrite the header where it is. The new one must have the same size. */
  readonly inPlace?: boolean;
  /** Whether one name of a file with several may get a file of its own. */
  readonly breakLinks?: boolean;
  /** Called right before the file changes; may throw to leave it as it is. */
  readonly confirm?: () => Promise<void>;
  /** Registers what is to be undone when a signal ends the process; returns how to forget it. */
  readonly onInterrupt?: (undo: () => void) => () => void;
}

/** The new file shares the body's blocks, or has a copy of it, or is the old one. */
export type Replaced = "cloned" | "copied" | "in place";

/**
 * Replaces the header of the file at `path`. It is on the disk when this resolves; on an error the
 * file is as it was.
 *
 * @throws FileError `ERR_CHANGED` if the file does not begin with `expected`, also if it changes
 *   meanwhile; `ERR_HARD_LINK`, `ERR_OWNER`, `ERR_IN_PLACE`, `ERR_FILE_KIND`, `ERR_LOCKED`,
 *   `ERR_READ`, `ERR_WRITE`; whatever `confirm` throws
 */
export async function replaceHeader(path: string, change: HeaderChange): Promise<Replaced> {
  if ((await finishInPlace(path)) === "busy") throw busy(path);
  // Also where nothing is left to replace: the run before may have ended with that done.
  removeLeftovers(dirname(path));
  const file = opened(path, change);
  try {
    if (!change.breakLinks || change.inPlace) requireOneName(file, linksHint(change));
    if (!change.inPlace) return await replaceFile(file, change);
    await overwriteHeader(file, change);
    return "in place";
  } finally {
    file.close();
  }
}

/** To overwrite a file, it has to be opened again. */
function opened(path: string, { fd, expected, inPlace = false }: HeaderChange): OldFile {
  if (fd !== undefined && !inPlace) return OldFile.of(path, fd, expected);
  return OldFile.open(path, expected, inPlace ? "write" : "read");
}

// ── A new file ──

async function replaceFile(file: OldFile, change: HeaderChange): Promise<Replaced> {
  let how: Replaced = "copied";
  const fill = async (temporary: string): Promise<number> => {
    how = (await cloned(file, temporary, change)) ? "cloned" : "copied";
    // To make a file may take the file system a while; a thread waits for that.
    const made =
      how === "cloned"
        ? openSync(temporary, constants.O_WRONLY | NO_FOLLOW)
        : await promisify(open)(temporary, CREATE, 0o600);
    try {
      if (how === "copied" && file.stats.size <= SMALL_BYTES) {
        writeWhole(file, change, made);
      } else {
        await writeAt(made, change.header, 0);
        if (how === "copied") await copyBody(file, change, made);
      }
      return made;
    } catch (error) {
      closeSync(made);
      throw error;
    }
  };
  const { confirm, onInterrupt } = change;
  const ownerHint = "a new file would be yours; run it as the owner, or with --in-place";
  await takePlace(file, fill, { confirm, onInterrupt, ownerHint });
  return how;
}

/**
 * Makes a file that shares all blocks with the old one. False where that can't be, or takes longer
 * than to copy.
 */
async function cloned(
  { path, fd, stats }: OldFile,
  temporary: string,
  { expected, header }: HeaderChange,
): Promise<boolean> {
  if (header.length !== expected.length || stats.size < WORTH_CLONING_BYTES) return false;
  if (withoutClones.has(stats.dev)) return false;
  // On Linux the descriptor's own name, so that nothing else can be put in the file's place.
  const source = process.platform === "linux" ? `/proc/self/fd/${fd}` : path;
  try {
    await copyFile(source, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
  } catch (error) {
    if (NO_CLONES.has(errno(error) ?? "")) withoutClones.add(stats.dev);
    return false; // If there is another reason than that, copying will meet it too.
  }
  // It has the mode of the old file, which may be read-only.
  if ((stats.mode & 0o200n) === 0n) await chmod(temporary, 0o600);
  return true;
}

/** Devices whose file systems can't clone. */
const withoutClones = new Set<bigint>();

/** ioctl_ficlone(2), and what libuv says where there is no such call. */
const NO_CLONES: ReadonlySet<string> = new Set(["ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV"]);

const WORTH_CLONING_BYTES = 256 * 1024;

/**
 * A small file in one step. It goes to memory, and to have a thread do that takes longer; the flush
 * that follows is the thread's.
 */
function writeWhole(
  { fd, path, stats }: OldFile,
  { expected, header }: HeaderChange,
  made: number,
): void {
  const length = Number(stats.size) - expected.length;
  const body = readAt(fd, length, expected.length);
  if (body.length < length) throw fileError("ERR_READ", path, { code: "ESTALE" }, GOT_SHORTER);
  const whole = Buffer.concat([header, body]);
  for (let done = 0; done < whole.length;) {
    done += writeSync(made, whole, done, whole.length - done, done);
  }
}

const SMALL_BYTES = 64 * 1024;

async function copyBody(
  { fd, path, stats }: OldFile,
  { expected, header }: HeaderChange,
  made: number,
): Promise<void> {
  const shift = header.length - expected.length;
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  const end = Number(stats.size);
  for (let at = expected.length; at < end;) {
    const length = Math.min(PIECE_BYTES, end - at);
    const { bytesRead } = await promisify(read)(fd, buffer, 0, length, at);
    if (bytesRead === 0) throw fileError("ERR_READ", path, { code: "ESTALE" }, GOT_SHORTER);
    await writeAt(made, buffer.subarray(0, bytesRead), at + shift);
    at += bytesRead;
  }
}

const PIECE_BYTES = 1024 * 1024;

const GOT_SHORTER = "it got shorter while it was being read";

function linksHint({ inPlace }: HeaderChange): string {
  return inPlace
    ? "--break-links, without --in-place, gives this name a file of its own"
    : "--break-links gives this name a file of its own; the others keep the old header";
}
