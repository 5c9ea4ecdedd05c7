/** docs/age.md: its commands, run as written, with this machine's age. */
import { afterAll, describe, expect, it } from "@jest/globals";
import { join } from "node:path";
import { AGE_PEERS } from "../support/ages.js";
import { skipped } from "../support/missing.js";
import { pageAt, ROOT, shellLines, Tour, wantedStatus } from "../support/tour.js";

const lines = shellLines(pageAt("docs/age.md"));
const [age] = AGE_PEERS;

describe("docs/age.md", () => {
  it("has lines to run", () => {
    expect(lines.filter((line) => line.startsWith("age ")).length).toBeGreaterThan(3);
    expect(age).toBeDefined();
  });
});

if (age !== undefined && "reason" in age) {
  skipped("docs/age.md is followed", age.reason);
} else if (age !== undefined) {
  const tour = new Tour();
  const plugin = [process.execPath, join(ROOT, "dist", "cli", "age-plugin-p11.js")];
  // Where it has no path, it is on the path already.
  if (age.command[0] !== "age") tour.program("age", age.command);
  tour.program("age-plugin-p11", plugin);
  // age from before 1.3 asks it who can address a hardware key.
  tour.program("age-plugin-tag", plugin);

  afterAll(() => {
    tour.end();
  });

  describe(`docs/age.md, with ${age.name}`, () => {
    it.each(lines)("%s", (line) => {
      const { status, output } = tour.run(line);
      expect({ line, output, status }).toEqual({ line, output, status: wantedStatus(line) });
      if (/^(?:p11seal open note|age -d)/.test(line)) expect(output).toContain("meet at noon");
    });
  });
}
