/**
 * A file whose header is to be replaced: opened once, and looked at again right before it changes.
 *
 * The looks are synchronous. What they ask for was read just now and is at hand; to have a thread
 * ask takes longer, and there are many files in a run.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  write,
} from "node:fs";
import { promisify } from "node:util";
import { FileError } from "../errors.js";
import { kindOf } from "./file-kind.js";
import { isNotOpenable, NO_FOLLOW, NO_WAITING } from "./open-flags.js";
import { errno, fileError, quoted } from "./system-error.js";

export class OldFile {
  readonly path: string;
  /** Its descriptor. */
  readonly fd: number;
  readonly stats: BigIntStats;
  readonly #header: Uint8Array;
  readonly #isOwn: boolean;

  private constructor(path: string, fd: number, header: Uint8Array, isOwn: boolean) {
    this.path = path;
    this.fd = fd;
    this.stats = fstatSync(fd, { bigint: true });
    this.#header = header;
    this.#isOwn = isOwn;
    if (!this.stats.isFile()) throw notAFile(path, kindOf(this.stats));
    if (!this.#hasHeader()) throw changed(path);
  }

  /**
   * A file that is open already; whoever opened it closes it. Otherwise as `open`.
   */
  static of(path: string, fd: number, header: Uint8Array): OldFile {
    return new OldFile(path, fd, header, false);
  }

  /**
   * Opens the file. It must be regular, no link, and begin with `header`.
   *
   * @throws FileError `ERR_READ`, `ERR_FILE_KIND`, `ERR_CHANGED`
   */
  static open(path: string, header: Uint8Array, access: "read" | "write"): OldFile {
    const mode = access === "read" ? constants.O_RDONLY : constants.O_RDWR;
    let fd: number;
    try {
      fd = openSync(path, mode | NO_FOLLOW | NO_WAITING);
    } catch (error) {
      if (isNotOpenable(error)) {
        throw notAFile(path, errno(error) === "ENXIO" ? undefined : "symbolic link");
      }
      throw fileError(access === "read" ? "ERR_READ" : "ERR_WRITE", path, error);
    }
    try {
      return new OldFile(path, fd, header, true);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /**
   * Makes sure that the path still leads to this file, and that nobody changed the file.
   *
   * @throws FileError `ERR_CHANGED`
   */
  requireUnchanged(): void {
    const now = fstatSync(this.fd, { bigint: true });
    const named = statsOf(this.path);
    const isSame =
      named?.ino === this.stats.ino &&
      named.dev === this.stats.dev &&
      now.size === this.stats.size &&
      now.mtimeNs === this.stats.mtimeNs &&
      now.nlink === this.stats.nlink;
    if (!isSame || !this.#hasHeader()) throw changed(this.path);
  }

  #hasHeader(): boolean {
    try {
      return readAt(this.fd, this.#header.length, 0).equals(this.#header);
    } catch (error) {
      throw fileError("ERR_READ", this.path, error);
    }
  }

  close(): void {
    if (this.#isOwn) closeSync(this.fd);
  }
}

function statsOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** So many bytes, or fewer at the end of the file. */
export function readAt(fd: number, length: number, position: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  for (let read = -1; done < length && read !== 0; done += read) {
    read = readSync(fd, bytes, done, length - done, position + done);
  }
  return bytes.subarray(0, done);
}

/** Writes all of it. */
export async function writeAt(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const rest = bytes.length - done;
    done += (await promisify(write)(fd, bytes, done, rest, position + done)).bytesWritten;
  }
}

/** The file has changed since its header was read. */
export function changed(path: string): FileError {
  return new FileError("ERR_CHANGED", `${quoted(path)} changed since its header was read`, {
    hint: "another run may be changing it; this one left it as it is, so run it again",
  });
}

function notAFile(path: string, kind: string | undefined): FileError {
  return new FileError("ERR_FILE_KIND", `${quoted(path)} is a ${kind ?? "special file"}`, {
    hint: "only a regular file is changed where it lies; links are not followed",
  });
}
