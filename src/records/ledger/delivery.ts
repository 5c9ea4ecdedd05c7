/**
 * What became of a plaintext if a crash came between its message's acceptance and its own final
 * name. The file is recognized by its inode, size and time of last change, which a rename does not
 * alter. The number of its device would not do: a reboot may change it.
 */
import { lstatSync, unlinkSync } from "node:fs";
import { dirname, isAbsolute } from "node:path";
import { FileError, PolicyError } from "../../errors.js";
import { syncFolderSync } from "../../store/flush.js";
import { errno, fileError, quoted, reason } from "../../store/system-error.js";
import { keptName } from "../../store/temporary.js";
import type { OutputPaths } from "./ledger.js";

/** A plaintext file as it was when its message was accepted. */
export interface Delivery extends OutputPaths {
  /** Inode, size in bytes, and modification time in nanoseconds, each in decimal. */
  readonly mark: string;
}

/** @throws PolicyError `ERR_OUTPUT_GONE` if the temporary file is missing */
export function describeDelivery(output: OutputPaths): Delivery {
  const mark = markOf(output.temporary);
  if (mark === undefined) {
    throw new PolicyError("ERR_OUTPUT_GONE", `"${output.temporary}" has disappeared`, {
      hint: "something removed the unfinished output; open the message again",
    });
  }
  return { ...output, mark };
}

/**
 * `placed`: the plaintext has its final name, on the disk. `waiting`: it has its temporary one.
 * `gone`: neither. An error means that nobody can tell, so the message may neither be opened again
 * nor be forgotten.
 */
export function deliveryState(delivery: Delivery): "placed" | "waiting" | "gone" | FileError {
  try {
    if (markOf(delivery.final) === delivery.mark) {
      flushName(delivery.final);
      return "placed";
    }
    return markOf(delivery.temporary) === delivery.mark ? "waiting" : "gone";
  } catch (error) {
    if (error instanceof FileError) return error;
    throw error;
  }
}

/**
 * Removes what is left under a temporary name: half a plaintext, or the second name of a whole one.
 * The process that made it is dead or done with it, and nobody else uses such names. Never throws.
 */
export function removeTemporary(temporary: string): void {
  if (!temporary.endsWith(TEMPORARY_SUFFIX)) return;
  // The process may have ended between its file's renaming and the acceptance.
  for (const name of new Set([temporary, keptName(temporary)])) {
    try {
      if (lstatSync(name).isFile()) unlinkSync(name);
    } catch {
      // Gone, or out of reach: the message does not depend on it.
    }
  }
}

/** @throws TypeError for paths that the ledger could not find, or clean up, later */
export function requirePaths({ temporary, final }: OutputPaths): void {
  if (!isAbsolute(temporary) || !isAbsolute(final)) throw new TypeError("paths must be absolute");
  if (!temporary.endsWith(TEMPORARY_SUFFIX)) throw new TypeError(`not a ${TEMPORARY_SUFFIX} file`);
}

/** Only files of such names are ever removed here. */
const TEMPORARY_SUFFIX = ".part";

/**
 * The run that gave the name may have been killed before it was on the disk. Without the flush, a
 * power cut could take the plaintext away once the ledger says that it was delivered.
 */
function flushName(path: string): void {
  try {
    syncFolderSync(dirname(path));
  } catch (error) {
    throw fileError("ERR_WRITE", path, error, OPEN_AGAIN);
  }
}

const OPEN_AGAIN = "the message is accepted but not delivered; when that works, open it again";

function markOf(path: string): string | undefined {
  try {
    const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return stats?.isFile() === true ? `${stats.ino} ${stats.size} ${stats.mtimeNs}` : undefined;
  } catch (error) {
    if (["ENOTDIR", "ENOENT"].includes(errno(error) ?? "")) return undefined;
    throw new FileError("ERR_READ", `cannot look at ${quoted(path)}: ${reason(error)}`, {
      cause: error,
      hint: OPEN_AGAIN,
    });
  }
}
