/** `npm run bench` takes an hour, so a word that it doesn't know starts nothing. */
import { spawnSync } from "node:child_process";
import { expect, it } from "@jest/globals";

const bench = (...words: readonly string[]): { status: number | null; said: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/bench.mjs", ...words], {
    encoding: "utf8",
    timeout: 50_000,
  });
  return { status, said: stdout + stderr };
};

it("prints its options, and measures nothing, when asked for help", () => {
  const { status, said } = bench("--help");
  expect(status).toBe(0);
  expect(said).toContain("--quick");
  expect(said).toContain("--rewrap");
  expect(said).not.toContain("load before");
});

it.each(["--quik", "small"])("refuses %s, and measures nothing", (word) => {
  const { status, said } = bench(word);
  expect([status, said]).toEqual([2, expect.stringContaining("npm run bench")]);
  expect(said).not.toContain("load before");
});
