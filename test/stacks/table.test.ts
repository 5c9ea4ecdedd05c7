/** The table of docs/tokens.md agrees with stated.json and with the last run. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import {
  contradictions,
  PAGE,
  readResults,
  readStated,
  renderTable,
  splitPage,
  type StackResult,
} from "../../scripts/lib/token-table.mjs";
import { skipped } from "../support/missing.js";
import { STACK_NAMES } from "./stated.js";

describe("docs/tokens.md", () => {
  const { table, versions } = splitPage(readFileSync(PAGE, "utf8"));

  it("has the table that follows from test/stacks/stated.json", () => {
    expect(table).toBe(renderTable(readStated()));
  });

  it("names the versions of every stack", () => {
    const named = ["SoftHSM", "NSS", "openCryptoki", "tpm2-pkcs11", "OpenSC", "p11-kit", "Node"];
    for (const name of named) expect(versions).toMatch(new RegExp(`${name}\\s\\d`));
  });

  const results = readResults();
  const name = "says what the last run of all stacks on this machine came to";
  if (results === null) {
    skipped(name, "there was none: npm run test:tokens");
  } else {
    it(name, () => {
      expect(contradictions(readStated(), results)).toEqual([]);
    });
  }
});

describe("results that contradict what is stated", () => {
  const kept = (name: string): StackResult => ({
    name,
    versions: "",
    node: "",
    rows: Object.fromEntries(
      Object.keys(readStated().rows).map((row) => [row, { outcome: "kept" }]),
    ),
  });

  it.each(STACK_NAMES)(
    "are noticed on %s: a token that offers more, a row that did not run",
    (name) => {
      const stated = readStated();
      const lacks = Object.keys(stated.stacks[name]?.lacks ?? {});
      expect(contradictions(stated, [kept(name)]).length).toBe(lacks.length);
      const rows = Object.keys(stated.rows).length;
      expect(contradictions(stated, [{ ...kept(name), rows: {} }]).length).toBe(rows);
    },
  );
});
