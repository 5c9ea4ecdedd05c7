/**
 * The plugin's end of the two pipes to age. PKCS#11 modules run in this process, and some print:
 * what they write to descriptor 1 must not get between the stanzas.
 */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClientStreams } from "./age-client.js";

/** From now on, descriptor 1 leads to stderr, and the pipe to age is out of modules' reach. */
export function takeStreams(): ClientStreams {
  const pipe = takeOutput();
  return { input: process.stdin, write: (bytes) => writeAll(pipe, bytes) };
}

function takeOutput(): number {
  const own = reopened("/dev/fd/1");
  // Not everything can be opened a second time: not a socket, and nothing on Windows.
  if (own === undefined) return 1;
  closeSync(1);
  // POSIX gives the lowest descriptor that is free.
  if (reopened("/dev/fd/2") === undefined) reopened("/dev/null");
  return own;
}

function reopened(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
}

async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  let rest = bytes;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      // A pipe that does not block and is full, since age is busy.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      await sleep(5);
    }
  }
}
