/** Processes that a test did not start itself. */

/** Whether there is such a process, also one that has ended and nobody has waited for. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
