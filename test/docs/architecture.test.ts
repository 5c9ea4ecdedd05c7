/** ARCHITECTURE.md names the tests that hold each invariant. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "@jest/globals";

const ROOT = join(import.meta.dirname, "..", "..");

const lines = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8").split("\n");

/** Claims, and the tests that hold each: the first with its folder; others may be beside it. */
const rows = lines.flatMap((line) => {
  const [, claim = "", tests = ""] = /^\| (.+?) +\| (`test\/.+`) +\|$/.exec(line) ?? [];
  return claim === ""
    ? []
    : [{ claim, tests: [...tests.matchAll(/`([^`]+)`/g)].map(([, t]) => t ?? "") }];
});

describe("the table of invariants", () => {
  it("is where this test looks for it", () => {
    expect(rows.length).toBeGreaterThan(40);
  });

  it.each(rows)("names tests that exist: $claim", ({ tests }) => {
    let folder = "";
    const missing = tests.filter((test) => {
      const path = test.startsWith("test/") ? test : join(folder, test);
      folder = dirname(path);
      return !existsSync(join(ROOT, path));
    });
    expect(missing).toEqual([]);
  });
});
