/** `npm run test:mutants` has something to run: each mutant still fits the source. */
import { describe, expect, it } from "@jest/globals";
import { fileURLToPath } from "node:url";
import { MUTANTS } from "../../scripts/mutants/list.mjs";
import { mutated } from "../../scripts/mutants/mutated.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe("each guard that the mutation run takes away", () => {
  it.each(MUTANTS.map((mutant) => [mutant.what, mutant] as const))("%s", (_, mutant) => {
    expect(mutated(ROOT, mutant)).not.toContain(`${mutant.find}\0`);
  });

  it("is described once", () => {
    expect(new Set(MUTANTS.map(({ what }) => what)).size).toBe(MUTANTS.length);
  });
});
