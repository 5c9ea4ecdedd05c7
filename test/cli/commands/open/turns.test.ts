/** Concurrent work whose visible effects happen in order. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "@jest/globals";
import { Abandoned, inTurns, type Turn } from "../../../../src/cli/commands/open/turns.js";

/**
 * Runs `count` pieces; `work` does one. Returns the events, such as "began 0", "placed 0", "failed
 * 2".
 */
async function history(
  count: number,
  ahead: number,
  work: (index: number, turn: Turn) => Promise<void>,
  goOn: (index: number) => boolean = () => true,
): Promise<string[]> {
  const seen: string[] = [];
  await inTurns(
    count,
    ahead,
    async (index, turn) => {
      seen.push(`began ${index}`);
      await work(index, turn);
      await turn.come();
      seen.push(`placed ${index}`);
    },
    (index) => {
      seen.push(`failed ${index}`);
      return goOn(index);
    },
  );
  return seen;
}

const only = (seen: readonly string[], what: string): string[] =>
  seen.filter((one) => one.startsWith(what));

describe("work in turns", () => {
  it("is placed in its order, whichever is done first", async () => {
    const seen = await history(8, 4, (index) => sleep(8 - index));
    expect(only(seen, "placed")).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((n) => `placed ${n}`));
  });

  it("begins with one alone, and then has no more than so many at a time", async () => {
    const seen = await history(9, 3, () => sleep(1));
    expect(seen.indexOf("began 1")).toBeGreaterThan(seen.indexOf("placed 0"));
    for (let n = 4; n < 9; n++) {
      expect(seen.indexOf(`began ${n}`)).toBeGreaterThan(seen.indexOf(`placed ${n - 3}`));
    }
    expect(seen.indexOf("began 2")).toBeLessThan(seen.indexOf("placed 1"));
  });

  it("reports failures in order, and goes on", async () => {
    const seen = await history(5, 4, async (index) => {
      await sleep(5 - index);
      if (index === 1 || index === 3) throw new Error("no");
    });
    expect(seen.filter((one) => !one.startsWith("began"))).toEqual([
      ...["placed 0", "failed 1", "placed 2", "failed 3", "placed 4"],
    ]);
  });

  it("ends where a failure ends it: nothing that was ahead is placed", async () => {
    const ended: unknown[] = [];
    const work = async (index: number, turn: Turn): Promise<void> => {
      if (index === 2) throw new Error("no");
      if (index > 2) {
        await turn.come().catch((error: unknown) => {
          ended.push(error);
          throw error;
        });
      }
    };
    const seen = await history(9, 4, work, () => false);
    expect(seen.filter((one) => !one.startsWith("began"))).toEqual([
      ...["placed 0", "placed 1", "failed 2"],
    ]);
    expect(ended.length).toBeGreaterThan(0);
    for (const error of ended) expect(error).toBeInstanceOf(Abandoned);
    expect(only(seen, "began").length).toBeLessThan(7);
  });

  it("waits for the work left after a turn was passed on, and reports its failure", async () => {
    const left: string[] = [];
    const failures: number[] = [];
    await inTurns(
      3,
      2,
      async (index, turn) => {
        await turn.come();
        turn.pass();
        await sleep(20 - index);
        left.push(`done ${index}`);
        if (index === 1) throw new Error("no");
      },
      (index) => {
        failures.push(index);
        return true;
      },
    );
    expect(left.sort()).toEqual(["done 0", "done 1", "done 2"]);
    expect(failures).toEqual([1]);
  });
});
