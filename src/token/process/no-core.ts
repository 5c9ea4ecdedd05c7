/**
 * The token's process knows the PIN, and a module's crash would write its memory to a core file. So
 * it runs without: its limit for core files is 0 from the start, and Linux is told to leave all
 * memory out of a dump, also of one that goes to a program (core(5): the limit does not hold for
 * those). Node has no call for limits; a shell, which then becomes the process, has one.
 */
import { existsSync, writeFileSync } from "node:fs";

const SHELL = "/bin/sh";

/** The command line that runs a program of ours in Node, without core files. */
export function commandOf(program: string): [command: string, ...args: string[]] {
  const node = [process.execPath, ...options(), program] as const;
  if (!hasShell()) return [...node];
  return [SHELL, "-c", 'ulimit -c 0 2>/dev/null; exec "$0" "$@"', ...node];
}

/** What can be said of a process that crashed: whether its memory is gone. */
export function coreHint(): string {
  return hasShell()
    ? "it wrote no core file, which could hold the PIN"
    : "if this system keeps crashed processes' memory, the PIN may be in it: remove it";
}

/** Called in the process, before a module is loaded. */
export function leaveMemoryOut(): void {
  try {
    writeFileSync("/proc/self/coredump_filter", "0");
  } catch {
    // Not Linux, or no /proc: then the limit alone holds.
  }
}

/** True in a process that was started with the option against debuggers. */
export function isDeafToDebuggers(): boolean {
  return process.execArgv.includes(DEAF);
}

/**
 * SIGUSR1 opens a debugger's port, through which memory can be read. Newer Node can be told not to.
 */
const DEAF = "--disable-sigusr1";

function options(): string[] {
  return process.allowedNodeEnvironmentFlags.has(DEAF) ? [DEAF] : [];
}

function hasShell(): boolean {
  return process.platform !== "win32" && existsSync(SHELL);
}
