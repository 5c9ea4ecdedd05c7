/**
 * A terminal's modes (echo, line editing), kept while another program asks there: one that is ended
 * by a signal may leave the echo off.
 */
import { spawnSync } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { onInterrupt } from "./interrupts.js";

/**
 * Remembers the modes of the terminal with that name.
 *
 * @returns puts them back; an interruption does so too
 */
export function keepModes(name: string): () => void {
  const modes = stty(name, "-g");
  if (modes === undefined || !/^[0-9a-f:]+$/.test(modes)) return () => undefined;
  const done = onInterrupt(() => stty(name, modes));
  return () => {
    done();
    stty(name, modes);
  };
}

/** What POSIX's `stty` prints; undefined if that failed. */
function stty(name: string, argument: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(name, constants.O_RDONLY | constants.O_NOCTTY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const { status, stdout } = spawnSync("stty", [argument], {
      stdio: [fd, "pipe", "ignore"],
      env: { PATH: process.env["PATH"] },
      timeout: 1_000,
      encoding: "latin1",
    });
    return status === 0 ? stdout.trim() : undefined;
  } finally {
    closeSync(fd);
  }
}
