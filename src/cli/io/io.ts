/**
 * What the command line has of the world: three streams, an environment and, maybe, a terminal.
 * Everything in this folder takes it from here, so that a run can be tested within a process.
 */
import { fstatSync, writevSync } from "node:fs";
import { Writable, type Readable } from "node:stream";
import { after } from "../../bytes.js";
import type { Terminal } from "../../terminal/terminal.js";

export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  /** A variable that held a PIN is deleted once it is read. */
  readonly env: Record<string, string | undefined>;
  /** Descriptors behind `stdin` and `stdout`, by which both can be seen to be one file. */
  readonly descriptors?: { readonly stdin: number; readonly stdout: number };
  /** The terminal the user sits at, even where stdin is the message; undefined without one. */
  terminal(): Promise<Terminal | undefined>;
  /** True when that is the controlling terminal, at which a child of this process can ask too. */
  readonly sharesTerminal?: boolean;
}

/** The streams, environment and terminal of this process. No stream is touched before it is used. */
export function processIo(): Io {
  let stdout: Io["stdout"] | undefined;
  return {
    get stdin() {
      return process.stdin;
    },
    get stdout() {
      return (stdout ??= fileBehindStdout() ?? process.stdout);
    },
    get stderr() {
      return process.stderr;
    },
    env: process.env,
    descriptors: { stdin: 0, stdout: 1 },
    sharesTerminal: true,
    terminal: async () => (await import("../../terminal/terminal.js")).controllingTerminal(),
  };
}

/**
 * stdout where it is a file or a device: it writes all of its bytes, or fails. Node's own takes a write of
 * a part for one of all, so that the end of what goes to a disk that is filling up would be lost without a
 * word; and what it is given for a block device, it drops.
 */
function fileBehindStdout(): Writable | undefined {
  try {
    const stats = fstatSync(1);
    if (
      stats.isCharacterDevice() ? process.stdout.isTTY : !stats.isFile() && !stats.isBlockDevice()
    ) {
      return undefined;
    }
  } catch {
    return undefined; // It is closed.
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

/** Writes all of it, or throws what the stream reports. Waits, so that a slow reader is not outrun. */
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
        if (error !== null && error !== undefined) reject(error);
        else if (--left === 0) resolve();
      });
    }
    stream.uncork();
  });
}
