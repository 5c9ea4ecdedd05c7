/**
 * Before the tests of each file. A test in which no expectation is reached fails: otherwise one
 * whose loop got nothing to look at, or whose callback was never called, would pass whatever the
 * code does. And property tests try once more what another run tried, if `FAST_CHECK_SEED` is the
 * seed that it printed.
 */
import { beforeEach, expect } from "@jest/globals";

beforeEach(() => {
  expect.hasAssertions();
});

const seed = process.env["FAST_CHECK_SEED"];
if (seed !== undefined) {
  const { default: fc } = await import("fast-check");
  fc.configureGlobal({ seed: Number(seed) });
}
