/**
 * docs/format.md says for each MUST what holds it: a file of the kit, or a test of p11seal's own.
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(join(root, "docs/format.md"), "utf8");
const { messages } = JSON.parse(
  readFileSync(join(root, "docs/format-kit/manifest.json"), "utf8"),
) as { messages: readonly { file: string; step?: number }[] };
const kit = messages.map(({ file }) => file.replace(/\.p11s$/, ""));

const [text = "", table = ""] = page.split("\n## 19. ");
interface Row {
  /** A rule's number, or a step's. */
  readonly rule: string;
  readonly holders: readonly string[];
}

const rows = rowsOf(/^\| +(\d+\.\d+) \| (.*?) +\|$/gm);
const steps = rowsOf(/^\| +(\d+) \| (.*?) +\|$/gm);

function rowsOf(row: RegExp): Row[] {
  return [...table.matchAll(row)].map(([, rule = "", holders = ""]) => ({
    rule,
    holders: [...holders.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name),
  }));
}

/** What follows each MUST, up to the next one or the end of its paragraph. */
const rules = text
  .split(/\n\n/)
  .filter((paragraph) => !paragraph.startsWith("MUST, MUST NOT, SHOULD and MAY are used"))
  .flatMap((paragraph) => paragraph.split(/\bMUST\b/).slice(1));

function named(pattern: string): string[] {
  const [start = "", ...rest] = pattern.split("…");
  return kit.filter((file) => {
    if (rest.length === 0) return file === start;
    const end = rest.at(-1) ?? "";
    return file.startsWith(start) && file.slice(start.length).endsWith(end);
  });
}

describe("the rules of docs/format.md", () => {
  it("each have a number, which stands after its MUST and nowhere else", () => {
    const unmarked = rules.filter((rule) => !/\[\d+\.\d+\]/.test(rule));
    expect(unmarked).toEqual([]);
    const marks = [...text.matchAll(/\[(\d+\.\d+)\]/g)].map(([, mark]) => mark);
    expect(marks).toHaveLength(rules.length);
    expect(new Set(marks).size).toBe(marks.length);
  });

  it("each have a row that says what holds it, in their order", () => {
    const marks = [...text.matchAll(/\[(\d+\.\d+)\]/g)].map(([, mark]) => mark);
    expect(rows.map(({ rule }) => rule)).toEqual(marks);
    expect(rows.filter(({ holders }) => holders.length === 0)).toEqual([]);
  });

  it("are held by files and tests that exist", () => {
    const missing = [...rows, ...steps].flatMap(({ holders }) =>
      holders.filter((name) =>
        name.startsWith("test/") ? !existsSync(join(root, name)) : named(name).length === 0,
      ),
    );
    expect(missing).toEqual([]);
  });

  it("have files at the steps that they are refused at", () => {
    expect(steps.length).toBeGreaterThan(10);
    for (const { rule, holders } of steps) {
      const stepOf = (name: string) => messages.find(({ file }) => file === `${name}.p11s`)?.step;
      const other = holders.flatMap(named).filter((name) => stepOf(name) !== Number(rule));
      expect([rule, other]).toEqual([rule, []]);
    }
  });

  it("name every bad file of the kit", () => {
    const all = new Set([...rows, ...steps].flatMap(({ holders }) => holders.flatMap(named)));
    expect(kit.filter((file) => file.startsWith("bad/") && !all.has(file))).toEqual([]);
  });
});
