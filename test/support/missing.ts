/** Tests that need what this machine does not have. */
import { it } from "@jest/globals";

/**
 * One skipped test that stands in for them and names the reason: the run counts it and lists it at
 * its end (scripts/plain-count.mjs).
 */
export function skipped(name: string, reason: string): void {
  it.skip(`${name} [skipped: ${reason}]`, () => undefined);
}
