/**
 * Before the tests of each file. A test in which no expectation is reached fails: otherwise one
 * whose loop got nothing to look at, or whose callback was never called, would pass whatever the
 * code does. Bytes are compared in one go: jest takes seconds for a megabyte. And property tests
 * try once more what another run tried, if `FAST_CHECK_SEED` is the seed that it printed.
 */
import { beforeEach, expect } from "@jest/globals";

beforeEach(() => {
  expect.hasAssertions();
});

type Tester = Parameters<typeof expect.addEqualityTesters>[0][number];
type TesterContext = ThisParameterType<Tester>;

expect.addEqualityTesters([sameBytes]);

/** Undefined leaves it to jest, as it leaves the kind of array, about which matchers differ. */
function sameBytes(this: TesterContext, a: unknown, b: unknown, testers: Tester[]) {
  if (!(a instanceof Uint8Array && b instanceof Uint8Array)) return undefined;
  if (a.length === 0 || b.length === 0) return undefined;
  return Buffer.compare(a, b) === 0 && this.equals(a.subarray(0, 0), b.subarray(0, 0), testers);
}

const seed = process.env["FAST_CHECK_SEED"];
if (seed !== undefined) {
  const { default: fc } = await import("fast-check");
  fc.configureGlobal({ seed: Number(seed) });
}
