/** When threads are worth starting, and how many. Every message asks, so this loads nothing. */
import { availableParallelism } from "node:os";

/** Bytes. A smaller file is done before a thread has started. */
export const WORTHWHILE_BYTES = 16 * 1024 * 1024;

/** More threads than this only wait for the disk and for one another. */
const MAX_THREADS = 4;

/** How many threads suit this machine. */
export function defaultThreads(): number {
  return Math.min(MAX_THREADS, Math.max(2, availableParallelism()));
}

/**
 * How many threads write to a pipe, besides the one that reads: two more than elsewhere, because
 * most are waiting for their turn.
 */
export function defaultWriters(): number {
  return Math.min(MAX_THREADS, defaultThreads() + 1);
}
