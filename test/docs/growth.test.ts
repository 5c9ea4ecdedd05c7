/** docs/performance.md and its plot: the bench writes there what it measured. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import { withSections } from "../../scripts/bench/page.mjs";
import {
  growthRow,
  growthSvg,
  HEADING,
  parseGrowth,
  tableHead,
} from "../../scripts/bench/plot.mjs";

const docs = (name: string): string =>
  readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");

const RUNS: [number, number, number | null, number | undefined][] = [
  [2 ** 10, 120, 51, 130],
  [2 ** 22, 141, 53.4, 170],
  [2 ** 30, 860, null, 1100],
  [2 ** 34, 12_345, 78, undefined],
];
const page = [
  "# Page\n\n| 1 KiB | 9 |\n",
  `### ${HEADING} (1 round)\n\nwords\n`,
  tableHead(),
  ...RUNS.map(([bytes, ms, rssMiB, open]) => {
    const opening = open === undefined ? undefined : { ms: open, rssMiB: 60 };
    return growthRow(bytes, { ms, rssMiB }, opening);
  }),
  "\n### another\n\n| 1 KiB | 7 | 7 | 7 | 7 | 7 | 7 |",
].join("\n");

describe("the plot of growth", () => {
  it("in docs/ shows what the table beside it says", () => {
    const series = parseGrowth(docs("performance.md"));
    expect(series[0]?.points.length).toBeGreaterThan(5);
    expect(growthSvg(series)).toBe(docs("growth.svg"));
    expect(docs("performance.md")).toContain("](growth.svg)");
  });

  it("is drawn from every figure of the table, and no other", () => {
    const [seal, open] = parseGrowth(page);
    expect(seal).toEqual({
      name: "seal",
      points: [
        { bytes: 2 ** 10, seconds: 0.12, mib: 51 },
        { bytes: 2 ** 22, seconds: 0.141, mib: 53 },
        { bytes: 2 ** 30, seconds: 0.86, mib: undefined },
        { bytes: 2 ** 34, seconds: 12.345, mib: 78 },
      ],
    });
    expect(open?.points.map(({ seconds }) => seconds)).toEqual([0.13, 0.17, 1.1]);
    expect(parseGrowth("# A page without it")).toEqual([]);
  });

  it("carries every measured point, where its axes say", () => {
    const svg = growthSvg(parseGrowth(page));
    const points = [...svg.matchAll(/<(circle|rect) [^>]*y="([\d.]+)"[^>]*><title>([^<]*)</g)];
    const placed = Object.fromEntries(points.map(([, , y, title = ""]) => [title, Number(y)]));
    expect(Object.keys(placed)).toEqual([
      ...[
        "seal 1 KiB: 0.12 s",
        "seal 4 MiB: 0.141 s",
        "seal 1 GiB: 0.86 s",
        "seal 16 GiB: 12.345 s",
      ],
      ...["open 1 KiB: 0.13 s", "open 4 MiB: 0.17 s", "open 1 GiB: 1.1 s"],
      ...["seal 1 KiB: 51 MiB", "seal 4 MiB: 53 MiB", "seal 16 GiB: 78 MiB"],
      ...["open 1 KiB: 60 MiB", "open 4 MiB: 60 MiB", "open 1 GiB: 60 MiB"],
    ]);
    // A hundredth of a second at the bottom, a hundred at the top: 62.5 for a tenfold.
    expect(placed["seal 1 KiB: 0.12 s"]).toBeCloseTo(300 - 62.5 * Math.log10(12), 1);
    expect(placed["seal 16 GiB: 12.345 s"]).toBeCloseTo(300 - 62.5 * Math.log10(1234.5), 1);
  });

  it("is well-formed", () => {
    const svg = growthSvg(parseGrowth(page));
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /);
    const open: string[] = [];
    const rest = svg.replaceAll(
      /<(\/?)([a-z]+)((?: [\w:-]+="[^"<&]*")*)(\/?)>/gi,
      (_tag, end: string, name: string, _attributes, empty: string) => {
        if (end !== "") expect(open.pop()).toBe(name);
        else if (empty === "") open.push(name);
        return "";
      },
    );
    expect(open).toEqual([]);
    expect(rest).not.toMatch(/[<>&]|NaN|undefined|Infinity/);
    expect(svg).not.toContain("NaN");
  });
});

describe("what the bench writes into the page", () => {
  const before = `intro\n<!-- npm run bench -- --write: from here -->\n\n- old machine\n
### 1024 MiB, pipes (9 rounds)\n\nold pipes\n\n### memory (1 round)\n\nold memory\n\n<!-- to here -->\nrest`;

  it("takes the place of the tables of that name, and leaves the others", () => {
    const after = withSections(
      before,
      "- machine\n\n### 256 MiB, pipes (3 rounds)\n\nnew pipes\n\n### segments\n\nnew\n",
    );
    expect(after).toBe(`intro\n<!-- npm run bench -- --write: from here -->\n\n- machine\n
### 256 MiB, pipes (3 rounds)\n\nnew pipes\n\n### memory (1 round)\n\nold memory\n
### segments\n\nnew\n\n<!-- to here -->\nrest`);
  });

  it("needs a page with a place for it", () => {
    expect(() => withSections("a page", "- machine")).toThrow("no markers");
  });
});
