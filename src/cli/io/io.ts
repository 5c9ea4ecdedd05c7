/**
 * What a run uses of its process: three streams, an environment and, maybe, a terminal. The command
 * line takes them only from here, so that tests can run it within their own process.
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
  /** A variable with a PIN is deleted once it was read. */
  readonly env: Record<string, string | undefined>;
  /** The descriptors of `stdin` and `stdout`, to find out whether both are the same file. */
  readonly descriptors?: { readonly stdin: number; readonly stdout: number };
  /** The user's terminal, even if stdin is the message; undefined without one. */
  terminal(): Promise<Terminal | undefined>;
  /** True if it is the controlling terminal: a child process can ask there too. */
  readonly sharesTerminal?: boolean;
}

/**
 * The streams, environment and terminal of this process. No stream is touched before it is used.
 */
export function processIo(): Io {
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

/** Where nothing can be said, the exit status still tells how the run ended. */
function unheard(): void {
  // Nobody is left to tell.
}

/**
 * A stdout that is a file or a device, written to until all bytes are written or a write fails.
 * Node's own stream takes a partial write for a complete one, so that on a disk that fills up the
 * end would be lost silently; and it drops what is written to a block device.
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

/** The reader of our stdout went away, so that there is nobody to tell. */
export class BrokenPipe extends Error {}

/**
 * Writes everything to stdout. Waits, so that a slow reader isn't flooded.
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

/** What a failed write to stdout is told as. */
export function stdoutFailure(error: unknown): Error {
  return errno(error) === "EPIPE" ? new BrokenPipe() : fileError("ERR_WRITE", "stdout", error);
}
