/** True for a time from just now. Both are milliseconds since 1970-01-01T00:00Z. */
export function isPresent(ms: number, nowMs: number): boolean {
  return Math.abs(ms - nowMs) <= NEAR_MS;
}

/** Longer than a person is given to answer for a PIN, and then for a use. */
const NEAR_MS = 300_000;
