/** docs/cms.md: its commands, run as written. */
import { afterAll, describe, expect, it } from "@jest/globals";
import { pageAt, shellLines, Tour, wantedStatus } from "../support/tour.js";

const lines = shellLines(pageAt("docs/cms.md"));

describe("docs/cms.md", () => {
  const tour = new Tour();
  afterAll(() => {
    tour.end();
  });

  it("has lines to run", () => {
    expect(lines.filter((line) => line.startsWith("openssl cms")).length).toBeGreaterThan(4);
  });

  it.each(lines)("%s", (line) => {
    const { status, output } = tour.run(line);
    expect({ line, output, status }).toEqual({ line, output, status: wantedStatus(line) });
    const isOpened = /^p11seal open (?:note|--from bob)|^openssl cms -decrypt .* -in plan/.test(
      line,
    );
    if (isOpened && status === 0) expect(output).toContain("meet at noon");
  });
});
