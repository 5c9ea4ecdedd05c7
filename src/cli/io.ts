/**
 * What the command line has of the world: three streams, an environment and, maybe, a terminal.
 * Everything in this folder takes it from here, so that a run can be tested within a process.
 */
import type { Readable, Writable } from "node:stream";

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
}

/** A person to ask. */
export interface Terminal {
  /** One line, without its line break. `silent` shows nothing of what is typed. */
  ask(prompt: string, options: { readonly silent: boolean }): Promise<string>;
  close(): void;
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
    terminal: async () => (await import("./terminal.js")).controllingTerminal(),
  };
}

/** Writes all of it, or throws what the stream reports. Waits, so that a slow reader is not outrun. */
export async function write(stream: Writable, bytes: Uint8Array | string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    stream.write(bytes, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
