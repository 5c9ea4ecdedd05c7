/**
 * A brake on guessing. Attacks on PKCS#1 v1.5 and on CBC without authentication ask thousands of
 * questions of whoever decrypts; each answered "does not decrypt". So failures are counted for each
 * key, and the more there were, the longer the next message waits.
 *
 * Values only: the caller has the clock, the file and the log.
 */

/** What is remembered of a key's failures. */
export interface Failures {
  /** Since the last quiet hour. */
  readonly count: number;
  /** Milliseconds since 1970. */
  readonly lastMs: number;
}

export const NO_FAILURES: Failures = { count: 0, lastMs: 0 };

/** One more failure. An hour without any wipes the slate: people mistype options. */
export function recordFailure({ count, lastMs }: Failures, nowMs: number): Failures {
  return { count: (isQuiet(lastMs, nowMs) ? 0 : count) + 1, lastMs: nowMs };
}

/**
 * Milliseconds to wait before the next private key operation: nothing after the first two failures,
 * then a second, doubling, to a minute.
 */
export function delayBefore({ count, lastMs }: Failures, nowMs: number): number {
  if (count < FREE_FAILURES || isQuiet(lastMs, nowMs)) return 0;
  return Math.min(1000 * 2 ** (count - FREE_FAILURES), MAX_DELAY_MS);
}

/** A clock set back is no quiet hour. */
function isQuiet(lastMs: number, nowMs: number): boolean {
  return nowMs - lastMs > QUIET_MS;
}

const FREE_FAILURES = 3;
const MAX_DELAY_MS = 60_000;
const QUIET_MS = 3_600_000;
