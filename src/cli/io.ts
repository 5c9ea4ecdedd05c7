/**
 * What the command line has of the world: three streams, an environment and, maybe, a terminal.
 * Everything in this folder takes it from here, so that a run can be tested within a process.
 */
import type { Readable, Writable } from "node:stream";
import type { Terminal } from "../terminal/terminal.js";

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

/** The streams, environment and terminal of this process. stdin is not touched before it is read. */
export function processIo(): Io {
  return {
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    descriptors: { stdin: 0, stdout: 1 },
    sharesTerminal: true,
    terminal: async () => (await import("../terminal/terminal.js")).controllingTerminal(),
  };
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
