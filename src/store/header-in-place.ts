/**
 * Overwrites a header where it is. That can't be one step: a reader may see part of each header for
 * a moment, and a crash may leave it so. So both headers are put into a file beside the message
 * first, on the disk before anything is overwritten. Whoever finds that side file later finishes
 * the work: the next run, `open`, or `doctor`.
 *
 * A side file does nothing unless each of the message's bytes is the old header's or the new one's
 * at that place. Nor does one that somebody else put there, who may not write to the message.
 */
import { createHash } from "node:crypto";
import { type BigIntStats, constants, statSync } from "node:fs";
import { type FileHandle, lstat, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { FileError } from "../errors.js";
import { flush, syncFolder } from "./flush.js";
import { removeLeftovers } from "./leftovers.js";
import { type OldFile, readAt, writeAt } from "./old-file.js";
import { NO_FOLLOW } from "./open-flags.js";
import { isRunning, thisProcess } from "./owner.js";
import { errno, fileError, isOfSystem, quoted, reason } from "./system-error.js";
import { CREATE, ownTemporaryBeside, placeNew } from "./temporary.js";
import { sideFileOf } from "./work-files.js";

export interface Overwriting {
  readonly expected: Uint8Array;
  readonly header: Uint8Array;
  readonly confirm?: () => Promise<void>;
}

/**
 * Overwrites the header of a file that was opened to be written.
 *
 * @throws FileError `ERR_IN_PLACE` if the sizes differ; `ERR_CHANGED`, `ERR_LOCKED`, `ERR_WRITE`;
 *   whatever `confirm` throws
 */
export async function overwriteHeader(file: OldFile, change: Overwriting): Promise<void> {
  const { path, fd } = file;
  const { expected, header } = change;
  if (header.length !== expected.length) throw otherSize(path, change);
  const side = sideFileOf(path);
  await placeSideFile(file, side, sideBytes(expected, header));
  let isTorn = false;
  try {
    await change.confirm?.();
    file.requireUnchanged();
    isTorn = true;
    await writeAt(fd, header, 0);
    await flush(fd);
    isTorn = false;
  } catch (error) {
    if (isTorn) isTorn = !(await putBack(fd, expected));
    if (isTorn) throw torn(path, error);
    throw isOfSystem(error) ? fileError("ERR_WRITE", path, error, AS_IT_WAS) : error;
  } finally {
    if (!isTorn) await unlink(side).catch(() => undefined);
  }
}

/** Whether there is something to finish. Synchronous: asking a thread to look takes longer. */
export function hasSideFile(path: string): boolean {
  return statSync(sideFileOf(path), { throwIfNoEntry: false }) !== undefined;
}

/** What there was to finish: `busy` if a run that may still go on is at it. */
export type Unfinished = "nothing" | "finished" | "busy";

/**
 * Finishes what a run that was killed began to overwrite in the file at `path`, and removes its
 * side file. Costs one look if there is none. Waits a little for a run that is at work.
 *
 * @throws FileError `ERR_WRITE` if the header is in part the old one and in part the new one, and
 *   can't be written from here
 */
export async function finishInPlace(path: string): Promise<Unfinished> {
  const side = sideFileOf(path);
  for (let waitedMs = 0; ; waitedMs += STEP_MS) {
    if (!hasSideFile(path)) return "nothing";
    const found = await readSideFile(side, path);
    if (found === undefined) return "nothing";
    if (!found.mayRun) return finish(path, side, found);
    if (waitedMs >= WAIT_MS) return "busy";
    await sleep(STEP_MS);
  }
}

// ── Writing ──

async function placeSideFile(file: OldFile, side: string, bytes: Uint8Array): Promise<void> {
  const temporary = ownTemporaryBeside(side);
  try {
    const made = await open(temporary, CREATE, 0o600);
    try {
      await made.writeFile(bytes);
      // Whoever may finish the work must be able to read it, and nobody else needs to.
      await made.chown(Number(file.stats.uid), Number(file.stats.gid)).catch(() => undefined);
      await made.sync();
    } finally {
      await made.close();
    }
    placeNew(temporary, side);
    await syncFolder(dirname(side));
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    if (errno(error) === "EEXIST") throw busy(file.path);
    await unlink(side).catch(() => undefined);
    throw fileError("ERR_WRITE", file.path, error, AS_IT_WAS);
  }
}

async function putBack(fd: number, header: Uint8Array): Promise<boolean> {
  try {
    await writeAt(fd, header, 0);
    await flush(fd);
    return true;
  } catch {
    return false;
  }
}

// ── Finishing ──

interface SideFile {
  readonly old: Uint8Array;
  readonly new: Uint8Array;
  /** Its run goes on; or can't be seen from here, and began lately. */
  readonly mayRun: boolean;
}

async function finish(path: string, side: string, found: SideFile): Promise<Unfinished> {
  // The run may have been killed while its side file had two names.
  removeLeftovers(dirname(path));
  const state = await stateOf(path, found);
  if (state === "torn") {
    const handle = await open(path, constants.O_RDWR | NO_FOLLOW).catch((error: unknown) => {
      throw torn(path, error);
    });
    try {
      await writeAt(handle.fd, found.new, 0);
      await handle.sync();
    } catch (error) {
      throw torn(path, error);
    } finally {
      await handle.close();
    }
  }
  // Otherwise nothing was overwritten yet, or all was, or the message is another one by now.
  if (state !== "unsure") await unlink(side).catch(() => undefined);
  return state === "torn" ? "finished" : "nothing";
}

/**
 * `whole`: it has one of the two headers, and that is on the disk; or the file is another one by
 * now. `unsure`: nobody can tell what is on the disk. The run may have been killed before it had
 * flushed what it wrote, and if the power fails, a part of that may be there.
 */
async function stateOf(
  path: string,
  { old, new: next }: SideFile,
): Promise<"torn" | "whole" | "unsure"> {
  const handle = await openedToFlush(path).catch(() => undefined);
  if (handle === undefined) return "unsure";
  try {
    if (!(await handle.stat()).isFile()) return "whole";
    const now = readAt(handle.fd, old.length, 0);
    if (now.length !== old.length) return "whole";
    if (now.equals(old) || now.equals(next)) {
      return await handle.sync().then(
        () => "whole",
        () => "unsure",
      );
    }
    return now.every((byte, at) => byte === old[at] || byte === next[at]) ? "torn" : "whole";
  } finally {
    await handle.close();
  }
}

/** To be written, where that may be: Windows flushes no others. */
function openedToFlush(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDWR | NO_FOLLOW).catch(() =>
    open(path, constants.O_RDONLY | NO_FOLLOW),
  );
}

// ── The side file ──

/**
 * A line of JSON, then both headers:
 * `{"p11seal":"header 1","run":"…","bytes":4096,"sha256":"…"}`, where `sha256` is that of both.
 */
function sideBytes(old: Uint8Array, next: Uint8Array): Uint8Array {
  const headers = Buffer.concat([old, next]);
  const fields = { p11seal: MARK, run: thisProcess(), bytes: old.length, sha256: hash(headers) };
  return Buffer.concat([Buffer.from(`${JSON.stringify(fields)}\n`), headers]);
}

/**
 * Undefined if it is not a side file, or if somebody put it there who may not write to the message.
 */
async function readSideFile(side: string, path: string): Promise<SideFile | undefined> {
  const handle = await open(side, constants.O_RDONLY | NO_FOLLOW).catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const stats = await handle.stat({ bigint: true });
    const message = await lstat(path, { bigint: true });
    if (!isTrustworthy(stats, message) || stats.size > MAX_BYTES) return undefined;
    const parsed = parseSideFile(await handle.readFile());
    if (parsed === undefined) return undefined;
    const running = isRunning(parsed.run);
    const isYoung = Math.abs(Date.now() - Number(stats.mtimeMs)) < YOUNG_MS;
    return { ...parsed, mayRun: running ?? isYoung };
  } catch {
    return undefined;
  } finally {
    await handle.close();
  }
}

function isTrustworthy(side: BigIntStats, message: BigIntStats): boolean {
  if (!side.isFile() || !message.isFile() || (side.mode & 0o022n) !== 0n) return false;
  const user = process.geteuid?.();
  if (user === undefined) return true;
  return side.uid === 0n || side.uid === BigInt(user) || side.uid === message.uid;
}

function parseSideFile(
  bytes: Buffer,
): { readonly run: string; readonly old: Uint8Array; readonly new: Uint8Array } | undefined {
  const end = bytes.indexOf("\n");
  if (end < 0) return undefined;
  const fields = JSON.parse(bytes.toString("utf8", 0, end)) as Record<string, unknown>;
  const headers = bytes.subarray(end + 1);
  const { p11seal, run, bytes: length, sha256 } = fields;
  if (p11seal !== MARK || typeof run !== "string" || typeof length !== "number") return undefined;
  if (headers.length !== 2 * length || sha256 !== hash(headers)) return undefined;
  return { run, old: headers.subarray(0, length), new: headers.subarray(length) };
}

function hash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const MARK = "header 1";

/** Far more than two headers have. */
const MAX_BYTES = 64 * 1024 * 1024;

/** How long a run that can't be seen from here counts as one that goes on. */
const YOUNG_MS = 60_000;

/** Overwriting takes some milliseconds. */
const WAIT_MS = 1000;
const STEP_MS = 10;

// ── Errors ──

const AS_IT_WAS = "the file is as it was";

function otherSize(path: string, { expected, header }: Overwriting): FileError {
  const sizes = `${header.length} bytes, and the old one ${expected.length}`;
  return new FileError("ERR_IN_PLACE", `the new header of ${quoted(path)} has ${sizes}`, {
    hint: "without --in-place, the file is written anew",
  });
}

/** Of what can be finished, a run that starts later has finished all. */
export function busy(path: string): FileError {
  return new FileError("ERR_LOCKED", `another run is overwriting the header of ${quoted(path)}`, {
    hint: `wait for it; if no p11seal is running, remove ${quoted(sideFileOf(path))}`,
  });
}

function torn(path: string, error: unknown): FileError {
  const fact = `the header of ${quoted(path)} is in part the old one: ${reason(error)}`;
  return new FileError("ERR_WRITE", fact, {
    cause: error,
    hint: "keep the file beside it that ends in .p11seal-header; p11seal doctor FILE, run by who may write to both, finishes it",
  });
}
