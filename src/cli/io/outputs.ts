/**
 * Where a command's bytes go: to a file, which appears whole or not at all (`whole-file.ts`), or to
 * a stream (stdout, or a character device such as `/dev/null`), which gets the bytes as they come.
 *
 * The target is checked before any work is done. Only a regular file is ever replaced, and only
 * with `--force`. The file being read is never replaced, under whatever name.
 */
import { accessSync, constants, lstatSync, statSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isatty } from "node:tty";
import { defined } from "../../defined.js";
import { FileError, UsageError } from "../../errors.js";
import { type FileKind, kindOf } from "../../store/file-kind.js";
import { syncFolder } from "../../store/flush.js";
import { fileId, redirected, type FileId, type Input } from "./inputs.js";
import type { Context } from "../command.js";
import { stdoutFailure, write, type Io } from "./io.js";
import { stdoutFault } from "./standard-streams.js";
import { fileError, quoted } from "../../store/system-error.js";
import type { Output, OutputOptions } from "./output.js";
import { NO_FOLLOW } from "../../store/open-flags.js";
import { exists, FileOutput } from "./whole-file.js";

/**
 * An output at `path`. The target is checked now, so that a refusal costs no work.
 *
 * @throws FileError `ERR_EXISTS`, `ERR_SAME_FILE`, `ERR_OUTPUT_KIND` (a symbolic link, folder,
 *   FIFO, …), `ERR_WRITE` (no such folder, not permitted).
 */
export async function fileOutput(path: string, options: OutputOptions): Promise<Output> {
  const existing = looked(path, () => lstatSync(path, { bigint: true, throwIfNoEntry: false }));
  if (existing !== undefined) {
    refuseInput(path, fileId(existing), options.inputs);
    if (existing.isCharacterDevice()) return openDevice(path);
    const kind = kindOf(existing);
    if (kind !== "file") {
      const hint = kind === undefined ? undefined : KIND_HINTS[kind];
      const fact = `${quoted(path)} is a ${kind ?? "special file"}`;
      throw new FileError("ERR_OUTPUT_KIND", fact, defined({ hint }));
    }
    if (!options.force) throw exists(path);
  }
  requireFolder(path);
  return new FileOutput(path, existing, options);
}

/** stdout, which gets the bytes as they come. @throws FileError `ERR_WRITE`: closed, read-only */
export function standardOutput(io: Io, inputs: readonly Input[]): Output {
  const stats = redirected(io.descriptors?.stdout);
  if (stats?.isFile() === true) refuseInput("stdout", fileId(stats), inputs);
  const fault = stdoutFault(io.descriptors?.stdout, "content");
  if (fault !== undefined) throw fault;
  const forThreads = stats !== undefined && io.stdout.isTTY !== true;
  return {
    name: "stdout",
    ...defined({ descriptor: forThreads ? io.descriptors?.stdout : undefined }),
    // Without descriptors it is a test's stream, which may keep what it is given.
    forgets: io.descriptors !== undefined,
    write: (...parts) => write(io.stdout, ...parts),
    failure: stdoutFailure,
    prepare: nothing,
    place() {
      // The bytes are where they belong.
    },
    displace() {
      // What was written there can't be taken back.
    },
    close: nothing,
  };
}

/** For `OutputOptions.exposed`. */
export function noteExposed({ report }: Context): (name: string) => void {
  return (name) => {
    report.note(`${name}: other users may read it: its file system ignores permissions`);
  };
}

/** Gives all outputs their names, or none. */
export async function commit(...outputs: readonly Output[]): Promise<void> {
  for (const output of outputs) await output.prepare();
  placeAll(outputs);
  await flushNames(outputs);
  for (const output of outputs) await output.close();
}

/** The middle step of `commit`: gives all prepared outputs their names, or none. */
export function placeAll(outputs: readonly Output[]): void {
  const placed: Output[] = [];
  try {
    for (const output of outputs) {
      output.place({ reversible: outputs.length > 1 });
      placed.push(output);
    }
  } catch (error) {
    for (const output of placed.reverse()) output.displace();
    throw error;
  }
}

/** After `placeAll`: resolves once the names of durable outputs are on the disk, in this order. */
export async function flushNames(outputs: readonly Output[]): Promise<void> {
  const durable = outputs.filter((output) => output.durable === true);
  const folders = durable.flatMap(({ paths }) => (paths === undefined ? [] : dirname(paths.final)));
  for (const folder of new Set(folders)) await syncFolder(folder);
}

/** Refuses two outputs that are the same file, however their paths are spelled. */
export async function requireDistinct(paths: readonly string[]): Promise<void> {
  const seen = new Set<string>();
  for (const path of paths) {
    const folder = await stat(dirname(path), { bigint: true }).catch(() => undefined);
    const place = folder === undefined ? path : join(fileId(folder), basename(path));
    if (seen.has(place)) {
      throw new UsageError("ERR_USAGE", `two outputs have the name ${quoted(path)}`);
    }
    seen.add(place);
  }
}

async function openDevice(path: string): Promise<Output> {
  const failed = (error: unknown): never => {
    throw fileError("ERR_WRITE", path, error);
  };
  const flags = constants.O_WRONLY | constants.O_NOCTTY | NO_FOLLOW;
  const handle = await open(path, flags).catch(failed);
  return {
    name: path,
    ...(!isatty(handle.fd) && { descriptor: handle.fd }),
    forgets: true,
    failure: (error) => fileError("ERR_WRITE", path, error),
    async write(...parts) {
      for (const bytes of parts) {
        for (let offset = 0; offset < bytes.length;) {
          const { bytesWritten } = await handle.write(bytes, offset).catch(failed);
          offset += bytesWritten;
        }
      }
    },
    prepare: nothing,
    place() {
      // The bytes are where they belong.
    },
    displace() {
      // What was written there can't be taken back.
    },
    close: () => handle.close().catch(() => undefined),
  };
}

function refuseInput(path: string, id: FileId, inputs: readonly Input[]): void {
  const input = inputs.find((candidate) => candidate.id === id);
  if (input === undefined) return;
  throw new FileError("ERR_SAME_FILE", `${quoted(path)} is the file being read`, {
    hint: "choose another name; the input would be lost",
  });
}

function requireFolder(path: string): void {
  const folder = dirname(path);
  const stats = looked(path, () => statSync(folder, { throwIfNoEntry: false }));
  if (stats === undefined) {
    const hint = `make the folder ${quoted(folder)} first`;
    throw fileError("ERR_WRITE", path, { code: "ENOENT" }, hint);
  }
  if (!stats.isDirectory()) throw fileError("ERR_WRITE", path, { code: "ENOTDIR" });
  if (path.endsWith("/")) throw fileError("ERR_WRITE", path, { code: "ENOENT" });
  looked(path, () => {
    accessSync(folder, constants.W_OK | constants.X_OK);
  });
}

/** Synchronous: asking a thread to look takes longer than looking. @throws FileError `ERR_WRITE` */
function looked<T>(path: string, look: () => T): T {
  try {
    return look();
  } catch (error) {
    throw fileError("ERR_WRITE", path, error);
  }
}

const STREAM_HINT = "an output here must be whole or absent; for a stream use -o - and redirect it";

const KIND_HINTS: Readonly<Partial<Record<FileKind, string>>> = {
  folder: "name a file in it",
  "symbolic link": "links are not followed when writing; give the name it points to",
  FIFO: STREAM_HINT,
  socket: STREAM_HINT,
  "block device": STREAM_HINT,
};

const nothing = (): Promise<void> => Promise.resolve();
