/**
 * What a run uses of its process: three streams, the environment and perhaps a terminal. The
 * command line gets them only from here, so tests can run it inside their own process.
 */
import { fstatSync, writevSync } from "node:fs";
import { Writable, type Readable } from "node:stream";
import { after } from "../../bytes.js";
import { errno, fileError } from "../../store/system-error.js";
import type { Terminal } from "../../terminal/terminal.js";

export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  /** A variable that holds a PIN is deleted once it has been read. */
  readonly env: Record<string, string | undefined>;
  /** The descriptors of `stdin` and `stdout`, to find out whether both are the same file. */
  readonly descriptors?: { readonly stdin: number; readonly stdout: number };
  /** The user's terminal, even when stdin is the message; undefined if there is none. */
  terminal(): Promise<Terminal | undefined>;
  /** True if it is the controlling terminal: a child process can ask there too. */
  readonly sharesTerminal?: boolean;
}

/**
 * The streams, environment and terminal of this process. No stream is touched before it is used. A
 * setting of ours that is empty counts as one that is not set.
 */
export function processIo(): Io {
  forgetEmptySettings();
  let stdout: Io["stdout"] | undefined;
  let stderr: Io["stderr"] | undefined;
  return {
    get stdin() {
      return process.stdin;
    },
    get stdout() {
      return (stdout ??= fileBehindStdout() ?? process.stdout);
    },
    get stderr() {
      return (stderr ??= process.stderr.on("error", unheard));
    },
    env: process.env,
    descriptors: { stdin: 0, stdout: 1 },
    sharesTerminal: true,
    terminal: async () => (await import("../../terminal/terminal.js")).controllingTerminal(),
  };
}

/** CI systems make an empty variable of a setting that they do not have. */
function forgetEmptySettings(): void {
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== "" || !name.startsWith("P11SEAL_")) continue;
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- nothing else unsets it
    delete process.env[name];
  }
}

/** Without a stderr, the exit status still says how the run ended. */
function unheard(): void {
  // There is nowhere left to report it.
}

/**
 * A stdout that is a file or a device, written to until all bytes are written or a write fails.
 * Node's own stream takes a partial write for a complete one, so a disk that fills up would lose
 * the end without a word. It also drops what is written to a block device.
 */
function fileBehindStdout(): Writable | undefined {
  try {
    const stats = fstatSync(1);
    // Writing to a folder fails here; Node's stream would take it.
    const isOurs = stats.isFile() || stats.isBlockDevice() || stats.isDirectory();
    if (stats.isCharacterDevice() ? process.stdout.isTTY : !isOurs) return undefined;
  } catch {
    return undefined; // stdout is closed.
  }
  const all = (parts: readonly Uint8Array[], done: (error?: Error) => void): void => {
    try {
      let rest = parts;
      while (rest.length > 0) rest = after(rest, writevSync(1, rest));
    } catch (error) {
      done(error as Error);
      return;
    }
    done();
  };
  return new Writable({
    write: (bytes: Uint8Array, _encoding, done) => {
      all([bytes], done);
    },
    writev: (chunks: readonly { readonly chunk: Uint8Array }[], done) => {
      all(
        chunks.map(({ chunk }) => chunk),
        done,
      );
    },
  });
}

/** Whoever read our stdout has gone, so there is nobody to tell. */
export class BrokenPipe extends Error {}

/**
 * Writes everything to stdout, no faster than its reader takes it.
 *
 * @throws BrokenPipe; FileError `ERR_WRITE`
 */
export async function write(
  stream: Writable,
  ...parts: readonly (Uint8Array | string)[]
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    let left = parts.length;
    if (left === 0) resolve();
    stream.cork();
    for (const part of parts) {
      stream.write(part, (error) => {
        if (error !== null && error !== undefined) reject(stdoutFailure(error));
        else if (--left === 0) resolve();
      });
    }
    stream.uncork();
  });
}

/** The error that reports a failed write to stdout. */
export function stdoutFailure(error: unknown): Error {
  return errno(error) === "EPIPE" ? new BrokenPipe() : fileError("ERR_WRITE", "stdout", error);
}
