/** What a power cut can't undo once `rewrap` has told of it. */
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "@jest/globals";
import { calls } from "../../../support/recorded-calls.js";
import type { Outcome } from "../../support/run.js";

const { run } = await import("../../support/run.js");
const { ALL_KINDS, temporaryFolder, wordsIn, writeKeys } = await import("../../support/folder.js");

const root = temporaryFolder();
let folder: string;
const at = (name: string): string => join(folder, name);

async function p11seal(line: string): Promise<Outcome> {
  const outcome = await run(wordsIn(folder, line), { env: { P11SEAL_HOME: at("home") } });
  expect([outcome.status, outcome.stderr]).toEqual([0, expect.any(String)]);
  return outcome;
}

const REWRAP = "rewrap -r bob.pem -i alice.key --journal journal.txt";

beforeEach(async () => {
  folder = mkdtempSync(join(root, "run-"));
  writeKeys(folder, ALL_KINDS);
  for (const name of ["tree", "tree/a", "tree/b"]) mkdirSync(at(name));
  for (const name of ["a/1.p11s", "a/2.p11s", "b/3.p11s"]) {
    await p11seal(`seal -r alice.pem -o tree/${name} alice.pem`);
  }
});

/** What is flushed before the journal's lines, and these lines. */
function ofTree(): string[] {
  return calls.filter((call) => /^(?:flush [ab]|write journal.txt)$/.test(call));
}

describe("before the journal says that a file is as it should be,", () => {
  it("its folder is flushed: the run before may have been killed just before that", async () => {
    await p11seal(`${REWRAP} tree/a/1.p11s tree/a/2.p11s tree/b/3.p11s`);
    calls.length = 0;
    await p11seal(`${REWRAP} --tree tree/`);
    const lines = readFileSync(at("journal.txt"), "utf8").trimEnd().split("\n");
    expect(lines.slice(-3).every((line) => line.includes('"unchanged"'))).toBe(true);
    const order = ofTree();
    expect(order.filter((call) => call.startsWith("flush")).sort()).toEqual(["flush a", "flush b"]);
    expect(order[0]).toMatch(/^flush/);
    expect(order.at(-1)).toBe("write journal.txt");
  });

  it("unless nothing is to be changed at all", async () => {
    await p11seal(`${REWRAP} tree/a/1.p11s`);
    calls.length = 0;
    await p11seal("rewrap -r bob.pem -i alice.key --dry-run tree/a/1.p11s");
    expect(ofTree()).toEqual([]);
  });
});
