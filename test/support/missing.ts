/**
 * Tests that need what this machine does not have. This is the only place that skips, which ESLint
 * sees to, so that every skipped test names its reason: the run counts it and lists it at its end
 * (scripts/plain-count.mjs).
 */
import { describe, it } from "@jest/globals";

/** One skipped test that stands in for all that can't even be begun here. */
export function skipped(name: string, reason: string): void {
  it.skip(withReason(name, reason), () => undefined);
}

export type SomeTest = (name: string, test: () => void | Promise<void>, timeoutMs?: number) => void;
export type SomeTests = (name: string, tests: () => void) => void;

/** `it` where there is what the test needs; otherwise the test is skipped for that reason. */
export function itIf(isThere: boolean, reason: string): SomeTest {
  return (name, test, timeoutMs) => {
    if (isThere) it(name, test, timeoutMs);
    else it.skip(withReason(name, reason), test, timeoutMs);
  };
}

/** The same for a group of tests. */
export function describeIf(isThere: boolean, reason: string): SomeTests {
  return (name, tests) => {
    if (isThere) describe(name, tests);
    else describe.skip(withReason(name, reason), tests);
  };
}

const IS_ROOT = process.geteuid?.() === 0;

/** For tests with files or processes of several users. */
export const itAsRoot = itIf(IS_ROOT, "only root can be several users");

/** For tests that see what only other users than root do: permissions that forbid something. */
export const itAsUser = itIf(!IS_ROOT, "nothing is forbidden to root");

const IS_LINUX = process.platform === "linux";
const LINUX_ONLY = "this is not Linux";
export const itOnLinux = itIf(IS_LINUX, LINUX_ONLY);
export const describeOnLinux = describeIf(IS_LINUX, LINUX_ONLY);

function withReason(name: string, reason: string): string {
  return `${name} [skipped: ${reason}]`;
}
