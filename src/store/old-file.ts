/**
 * A file whose header is to be replaced: opened once, and looked at again right before it changes.
 */
import { type BigIntStats, constants } from "node:fs";
import { lstat, open, type FileHandle } from "node:fs/promises";
import { FileError } from "../errors.js";
import { kindOf } from "./file-kind.js";
import { isNotOpenable, NO_FOLLOW, NO_WAITING } from "./open-flags.js";
import { errno, fileError, quoted } from "./system-error.js";

export class OldFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly stats: BigIntStats;
  readonly #header: Uint8Array;

  private constructor(path: string, handle: FileHandle, stats: BigIntStats, header: Uint8Array) {
    this.path = path;
    this.handle = handle;
    this.stats = stats;
    this.#header = header;
  }

  /**
   * Opens the file. It must be regular, no link, and begin with `header`.
   *
   * @throws FileError `ERR_READ`, `ERR_FILE_KIND`, `ERR_CHANGED`
   */
  static async open(path: string, header: Uint8Array, access: "read" | "write"): Promise<OldFile> {
    const mode = access === "read" ? constants.O_RDONLY : constants.O_RDWR;
    const handle = await open(path, mode | NO_FOLLOW | NO_WAITING).catch((error: unknown) => {
      if (isNotOpenable(error)) {
        throw notAFile(path, errno(error) === "ENXIO" ? undefined : "symbolic link");
      }
      throw fileError(access === "read" ? "ERR_READ" : "ERR_WRITE", path, error);
    });
    try {
      const stats = await handle.stat({ bigint: true });
      if (!stats.isFile()) throw notAFile(path, kindOf(stats));
      const file = new OldFile(path, handle, stats, header);
      if (!(await file.#hasHeader())) throw changed(path);
      return file;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /**
   * Makes sure that the path still leads to this file, and that nobody changed the file.
   *
   * @throws FileError `ERR_CHANGED`
   */
  async requireUnchanged(): Promise<void> {
    const [now, named] = await Promise.all([
      this.handle.stat({ bigint: true }),
      lstat(this.path, { bigint: true }).catch(() => undefined),
    ]);
    const isSame =
      named?.ino === this.stats.ino &&
      named.dev === this.stats.dev &&
      now.size === this.stats.size &&
      now.mtimeNs === this.stats.mtimeNs &&
      now.nlink === this.stats.nlink;
    if (!isSame || !(await this.#hasHeader())) throw changed(this.path);
  }

  async #hasHeader(): Promise<boolean> {
    const length = this.#header.length;
    const bytes = await readAt(this.handle, length, 0).catch((error: unknown) => {
      throw fileError("ERR_READ", this.path, error);
    });
    return bytes.equals(this.#header);
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/** So many bytes, or fewer at the end of the file. */
export async function readAt(
  handle: FileHandle,
  length: number,
  position: number,
): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  for (let bytesRead = -1; done < length && bytesRead !== 0; done += bytesRead) {
    ({ bytesRead } = await handle.read(bytes, done, length - done, position + done));
  }
  return bytes.subarray(0, done);
}

/** Writes all of it. */
export async function writeAt(
  handle: FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const rest = bytes.length - done;
    done += (await handle.write(bytes, done, rest, position + done)).bytesWritten;
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
