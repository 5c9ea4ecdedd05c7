/**
 * Inputs: a file, a FIFO, a device or stdin (`-`), read in chunks. Each knows which file it is, so
 * that no output overwrites it.
 */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  read,
  readSync,
  statSync,
  type BigIntStats,
} from "node:fs";
import { open } from "node:fs/promises";
import { promisify } from "node:util";
import { concatAll } from "../../bytes.js";
import { defined } from "../../defined.js";
import { UsageError } from "../../errors.js";
import type { FillingSource } from "../../stream.js";
import { FileInput, readError, requireEnd, type FileToRead } from "./file-input.js";
import type { Io } from "./io.js";
import { PipeInput } from "./pipe-input.js";
import { stdinFault } from "./standard-streams.js";
import { NO_WAITING } from "../../store/open-flags.js";
import { fileError } from "../../store/system-error.js";

/** Identifies a file by device and inode, whatever its name. */
export type FileId = `${bigint}:${bigint}`;

export interface Input {
  /** For messages. */
  readonly name: string;
  /** In bytes, if known beforehand. */
  readonly size: number | undefined;
  readonly id: FileId | undefined;
  readonly chunks: AsyncIterable<Uint8Array> | FillingSource;
  /**
   * For a regular file that is read from its start: its descriptor, to read at positions as well.
   */
  readonly descriptor?: number;
  /** For a file: from here on, this thread reads the chunks (`FileInput`). */
  readAlone?(): void;
  close(): Promise<void>;
}

/** The largest key, certificate, identity or recipients file, bytes (16 MiB, as for age). */
const MAX_SMALL_BYTES = 16 * 1024 * 1024;

/**
 * Opens `path`, or stdin for `-`. Opening a FIFO waits for its writer.
 *
 * @throws FileError `ERR_READ`: missing, a folder, not permitted.
 */
export async function openInput(path: string, io: Io): Promise<Input> {
  if (path === "-") return standardInput(io);
  const small = smallFile(path);
  if (small !== undefined) return small;
  const handle = await open(path, constants.O_RDONLY).catch((error: unknown) => {
    throw fileError("ERR_READ", path, error);
  });
  try {
    const stats = await handle.stat({ bigint: true });
    if (stats.isDirectory()) throw fileError("ERR_READ", path, { code: "EISDIR" });
    const size = stats.isFile() ? Number(stats.size) : undefined;
    const file = new FileInput(handle, path, size ?? 0);
    return {
      ...{ name: path, size, id: fileId(stats), chunks: file.chunks },
      // A device may keep its reader waiting.
      ...(stats.isFile() && { descriptor: handle.fd, readAlone: file.readAlone }),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * A regular file so small that reading it is faster than asking a thread to. `undefined` for
 * everything else, and on any failure: the usual way then says why. A FIFO is not opened here,
 * because its writer would find its reader gone.
 */
function smallFile(path: string): Input | undefined {
  let descriptor: number | undefined;
  try {
    const seen = statSync(path, { throwIfNoEntry: false });
    if (seen?.isFile() !== true || seen.size > AT_ONCE_BYTES) return undefined;
    // If it has become a FIFO since, this does not wait for a writer.
    const file = openSync(path, constants.O_RDONLY | NO_WAITING);
    descriptor = file;
    const stats = fstatSync(file, { bigint: true });
    if (stats.isFile() && stats.size <= AT_ONCE_BYTES) {
      descriptor = undefined;
      return {
        ...{ name: path, size: Number(stats.size), id: fileId(stats), descriptor: file },
        chunks: readAtOnce(file, Number(stats.size), path),
        close() {
          closeSync(file);
          return Promise.resolve();
        },
      };
    }
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
  return undefined;
}

/** The whole file in one chunk, unless it grows. */
async function* readAtOnce(
  file: number,
  size: number,
  name: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let done = 0; ;) {
    const buffer = Buffer.allocUnsafe(size + 1);
    let bytesRead: number;
    try {
      bytesRead = readSync(file, buffer);
      if (bytesRead === 0) requireEnd(file, size, done);
    } catch (error) {
      throw readError(name, error);
    }
    if (bytesRead === 0) return;
    done += bytesRead;
    yield await Promise.resolve(buffer.subarray(0, bytesRead));
  }
}

/** Up to this many bytes, a system call takes less time than asking a thread to make it. */
export const AT_ONCE_BYTES = 64 * 1024;

/** A whole small file: a key, an identity, a list of recipients. */
export async function readSmall(path: string, io: Io): Promise<Uint8Array> {
  const input = await openInput(path, io);
  try {
    return await wholeOf(input, MAX_SMALL_BYTES, "a key file is much smaller");
  } finally {
    await input.close();
  }
}

/**
 * All of an input that has at most so many bytes.
 *
 * @throws FileError `ERR_READ`
 */
export async function wholeOf(input: Input, most: number, hint?: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of input.chunks) {
    length += chunk.length;
    if (length > most) throw fileError("ERR_READ", input.name, { code: "EFBIG" }, hint);
    parts.push(chunk);
  }
  return concatAll(parts);
}

/** Refuses two inputs that are both stdin. */
export function requireOneStdin(paths: readonly string[]): void {
  if (paths.filter((path) => path === "-").length > 1) {
    throw new UsageError("ERR_USAGE", 'stdin ("-") can be read only once');
  }
}

export function fileId(stats: BigIntStats): FileId {
  return `${stats.dev}:${stats.ino}`;
}

/** The file, device or pipe behind one of our descriptors, as with `< message` or `> out`. */
export function redirected(descriptor: number | undefined): BigIntStats | undefined {
  if (descriptor === undefined) return undefined;
  try {
    return fstatSync(descriptor, { bigint: true });
  } catch {
    return undefined; // The descriptor is closed.
  }
}

function standardInput(io: Io): Input {
  const stats = redirected(io.descriptors?.stdin);
  if (stats?.isDirectory() === true) throw fileError("ERR_READ", "stdin", { code: "EISDIR" });
  const fault = stdinFault(io.descriptors?.stdin);
  if (fault !== undefined) throw fault;
  // Node's own stdin suits pipes and terminals. It reads a file in small steps, and takes a disk
  // (`< /dev/sdb1`) for an empty stream.
  const descriptor =
    stats?.isFile() === true || stats?.isBlockDevice() === true ? io.descriptors?.stdin : undefined;
  const file = descriptor === undefined ? undefined : fileOfStdin(descriptor);
  const pipe =
    io.descriptors !== undefined && (stats?.isFIFO() === true || stats?.isSocket() === true)
      ? new PipeInput(io.descriptors.stdin)
      : undefined;
  return {
    name: "stdin",
    size: stats?.isFile() === true ? Number(stats.size) : undefined,
    id: stats?.isFile() === true ? fileId(stats) : undefined,
    chunks: file?.chunks ?? pipe?.chunks ?? readStream(io),
    ...defined({ readAlone: file?.readAlone }),
    close: () => {
      // A pipe that nobody reads to its end must be closed, or the process waits for its writer.
      if (pipe !== undefined) pipe.close();
      else if (descriptor === undefined) io.stdin.destroy();
      return Promise.resolve();
    },
  };
}

function fileOfStdin(descriptor: number): FileInput {
  const file: FileToRead = {
    fd: descriptor,
    read: (buffer, offset, length) => promisify(read)(descriptor, buffer, offset, length, null),
  };
  // It may stand anywhere, so its size says nothing.
  return new FileInput(file, "stdin", 0);
}

async function* readStream(io: Io): AsyncGenerator<Uint8Array> {
  const chunks = io.stdin[Symbol.asyncIterator]();
  for (;;) {
    const next = (await chunks.next().catch((error: unknown) => {
      throw fileError("ERR_READ", "stdin", error);
    })) as IteratorResult<Uint8Array, undefined>;
    if (next.done === true) return;
    yield next.value;
  }
}
