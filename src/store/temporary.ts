/**
 * How a file appears whole or not at all: its bytes go to a temporary file beside it, which then
 * gets the name. A run that is killed leaves at most the temporary file. The temporary name tells
 * whose it is, so that a later run can remove it (`leftovers.ts`).
 */
import { randomBytes } from "node:crypto";
import { closeSync, constants, linkSync, openSync, renameSync, unlinkSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { NO_FOLLOW } from "./open-flags.js";
import { thisProcess } from "./owner.js";
import { errno } from "./system-error.js";

/**
 * A name in the same folder that nothing has yet: `.NAME.p11seal-`, eight random digits and
 * `.part`. No other run ever removes such a file, so a ledger may name it.
 */
export function temporaryBeside(path: string): string {
  return keptName(ownTemporaryBeside(path));
}

/**
 * The same with this process after the digits (`owner.ts`): once that has ended, another run may
 * remove the file.
 */
export function ownTemporaryBeside(path: string): string {
  const suffix = `.p11seal-${randomBytes(4).toString("hex")}-${thisProcess()}.part`;
  const room = MAX_NAME_BYTES - ".".length - suffix.length - LONGEST_SUFFIX.length;
  return join(dirname(path), `.${cutTo(room, basename(path))}${suffix}`);
}

/** As many of a name's characters as fit, from its start. */
export function cutTo(maxBytes: number, name: string): string {
  let kept = name;
  while (Buffer.byteLength(kept) > maxBytes) kept = Array.from(kept).slice(0, -1).join("");
  return kept;
}

/** The name of a temporary file, or of its directory entry alone, without the process. */
export function keptName(temporary: string): string {
  return temporary.replace(/(\.p11seal-[0-9a-f]{8})-[0-9a-f-]+\.part$/, "$1.part");
}

/**
 * What may lie beside a temporary file: a second name of what it replaces, and the files of a
 * database that is being made (sqlite.org/tempfiles.html).
 */
export const BESIDE_TEMPORARY = [".old", "-journal", "-wal", "-shm"] as const;

const LONGEST_SUFFIX = "-journal";

/** The least of common file systems: eCryptfs allows 143 bytes, most others 255. */
export const MAX_NAME_BYTES = 143;

/** How a temporary file is opened: made now, and no link. On Windows O_EXCL alone refuses one. */
export const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW;

/**
 * Gives it its name, unless something has that name by now: a hard link, unlike a rename, never
 * replaces.
 *
 * @throws an error of Node's with the code `EEXIST`
 */
export function placeNew(temporary: string, path: string): void {
  try {
    linkSync(temporary, path);
  } catch (error) {
    if (!NO_HARD_LINKS.has(errno(error) ?? "")) throw error;
    claim(temporary, path);
    return;
  }
  try {
    unlinkSync(temporary);
  } catch {
    // The file has its name, and to say otherwise would be wrong. A second one does no harm.
  }
}

/** Takes the name, then replaces what is ours. */
function claim(temporary: string, path: string): void {
  closeSync(openSync(path, "wx"));
  try {
    renameSync(temporary, path);
  } catch (refused) {
    unlinkSync(path);
    throw refused;
  }
}

/** FAT and some network file systems. */
const NO_HARD_LINKS: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);
