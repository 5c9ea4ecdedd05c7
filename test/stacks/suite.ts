/**
 * The token suite: the same rows on every stack, gated by what the stack is stated to offer. A row
 * that it does not offer is a skip with the reason. It is tried all the same, and must end with the
 * stated error, so that a token that offers more is noticed.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "@jest/globals";
import { skipped } from "../support/missing.js";
import { Bench, findStack } from "./bench.js";
import type { Row } from "./row.js";
import { cmsRows } from "./rows-cms.js";
import { fileRows } from "./rows-files.js";
import { keyRows } from "./rows-keys.js";
import { openRows } from "./rows-open.js";
import { pinRows } from "./rows-pin.js";
import { signRows } from "./rows-sign.js";
import { hasVectors, vectorRows } from "./rows-vectors.js";
import { type StackName, stated } from "./stated.js";

/** In this order: the rows about PINs end with a locked one. */
export const ROWS: readonly Row[] = [
  ...keyRows,
  ...openRows,
  ...signRows,
  ...fileRows,
  ...cmsRows,
  ...vectorRows,
  ...pinRows,
];

/** Large keys and thousands of vectors take time; this is ten times what they take alone. */
const PATIENCE_MS = 600_000;

/** The outcome of a row: kept (and how), not offered as stated, or failed. */
type Outcome = "kept" | "not offered" | "failed";

export function stackSuite(name: StackName): void {
  const { title, lacks, ways } = stated.stacks[name];
  const found = findStack(name);
  describe(`on ${title}`, () => {
    if ("reason" in found) {
      const { reason } = found;
      if (process.env["TEST_STACKS_REQUIRED"] !== "1") skipped("the stack is there", reason);
      else {
        it(`the stack is there [${reason}]`, () => {
          throw new Error(reason);
        });
      }
      return;
    }
    const bench = new Bench(found);
    const outcomes: Record<string, { outcome: Outcome; how?: string }> = {};

    const tested = (row: Row): void => {
      const promise = stated.rows[row.id] ?? row.id;
      const lack = lacks[row.id];
      if (lack !== undefined) {
        skipped(promise, `not offered: ${lack.why}`);
      } else if (vectorRows.includes(row) && !hasVectors) {
        skipped(promise, "no vectors: see CONTRIBUTING.md");
      } else {
        const keeps = async (): Promise<void> => {
          outcomes[row.id] = { outcome: "failed" };
          const how = await row.run(bench);
          expect(how).toBe(ways[row.id]);
          outcomes[row.id] = { outcome: "kept", ...(how === undefined ? {} : { how }) };
        };
        it(promise, keeps, PATIENCE_MS);
      }
    };

    /** Tries what is stated as not offered, so that a token that offers more is noticed. */
    const lackingIndeed = async (rows: readonly Row[]): Promise<void> => {
      const tried = rows
        .filter(({ id }) => lacks[id] !== undefined)
        .filter((row) => hasVectors || !vectorRows.includes(row));
      const ends: [string, string | undefined][] = [];
      for (const row of tried) {
        const end = await endOf(row, bench);
        ends.push([row.id, end]);
        if (end === lacks[row.id]?.code) outcomes[row.id] = { outcome: "not offered" };
      }
      expect(ends).toEqual(tried.map(({ id }) => [id, lacks[id]?.code]));
    };

    const others = ROWS.filter((row) => !pinRows.includes(row));
    others.forEach(tested);
    it(
      "what it is stated not to offer ends with the stated error",
      () => lackingIndeed(others),
      PATIENCE_MS,
    );
    pinRows.forEach(tested);
    it("what it is stated not to offer about PINs, likewise", () => lackingIndeed(pinRows));

    it("nothing is lacking that is no row, and every row has its promise", () => {
      const ids = ROWS.map(({ id }) => id);
      expect(Object.keys(lacks).filter((id) => !ids.includes(id))).toEqual([]);
      expect(Object.keys(stated.rows)).toEqual(ids);
    });

    afterAll(async () => {
      await bench.close();
      report(name, found.versions, outcomes);
    });
  });
}

/** The code of the error that a row ends with; "kept" if it succeeds. */
async function endOf(row: Row, bench: Bench): Promise<string> {
  try {
    await row.run(bench);
    return "kept";
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    return code ?? String(message);
  } finally {
    // A failure here must not affect other rows: OpenSC forgets a login after one.
    await bench.reopen();
  }
}

/** For `npm run test:tokens`, which makes the table from it. */
function report(name: StackName, versions: string, rows: object): void {
  const folder = process.env["TEST_STACKS_RESULTS"];
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  const result = { name, versions, node: process.versions.node, rows };
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(result, null, 2));
}
