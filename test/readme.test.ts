/** README's tour, run as written, and its library example. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import { pageAt, ROOT, shellLines, Tour, wantedStatus } from "./support/tour.js";

const readme = pageAt("README.md");
const lines = shellLines(readme);
const tour = new Tour();

const report = join(tour.work, "report.p11s");
/** Part of the line that seals the report; and the message it makes. */
const SEALED_LINE = "-o report.p11s";
let sealed = Buffer.alloc(0);

afterAll(() => {
  tour.end();
});

describe("README's tour", () => {
  it("has lines to run", () => {
    expect(lines.length).toBeGreaterThan(10);
  });

  it.each(lines)("%s", (line) => {
    const { status, output } = tour.run(line);
    expect({ line, output, status }).toEqual({ line, output, status: wantedStatus(line) });
    if (line.includes(SEALED_LINE)) sealed = readFileSync(report);
  });

  it("tampered with bytes of the report's body, and made the message no longer", () => {
    const tampered = readFileSync(report);
    expect(tampered.length).toBe(sealed.length);
    const changed = [...sealed.keys()].filter((at) => sealed[at] !== tampered[at]);
    const { headerBytes } = JSON.parse(tour.run("p11seal inspect --json report.p11s").output) as {
      headerBytes: number;
    };
    expect(changed.length).toBeGreaterThan(0);
    expect(Math.min(...changed)).toBeGreaterThanOrEqual(headerBytes);
  });

  it("ends with a library example that runs on the key it made", () => {
    const [, code = ""] = /^```js\n(.*?)^```$/ms.exec(readme) ?? [];
    mkdirSync(join(tour.work, "node_modules"));
    symlinkSync(ROOT, join(tour.work, "node_modules", "p11seal"));
    writeFileSync(join(tour.work, "example.mjs"), `${code}\nconsole.log(message.length > 100);\n`);
    expect(tour.run(`"${process.execPath}" example.mjs`)).toEqual({ status: 0, output: "true\n" });
  });
});
