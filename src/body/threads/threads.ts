/** When threads are worth their start, and how many: looked at for every message, so it loads nothing. */
import { availableParallelism } from "node:os";

/** Smaller files are done before a thread has started, bytes. */
export const WORTHWHILE_BYTES = 16 * 1024 * 1024;

/** More threads than this only wait for the disk and for one another. */
const MAX_THREADS = 4;

/** How many threads suit this machine. */
export function defaultThreads(): number {
  return Math.min(MAX_THREADS, Math.max(2, availableParallelism()));
}

/** How many write to a pipe, beside the thread that reads: two more, since most wait for their turn. */
export function defaultWriters(): number {
  return Math.min(MAX_THREADS, defaultThreads() + 1);
}
