/** Limits of a login, with a clock that the test moves. */
import { describe, expect, it } from "@jest/globals";
import { Allowance, StandstillWatch, TICK_MS } from "../../src/agent/limits.js";

const LIMITS = { idleMs: 600_000, totalMs: 7_200_000 };

describe("an allowance", () => {
  it("ends when nobody used it for the idle time, and a use starts that anew", () => {
    const left = new Allowance(LIMITS, 1000);
    expect(left.reached(600_999)).toBeUndefined();
    left.used(600_999);
    expect(left.reached(1_200_998)).toBeUndefined();
    expect(left.reached(1_200_999)).toBe("idle");
  });

  it("ends after the total time, however often it is used", () => {
    const left = new Allowance(LIMITS, 0);
    for (let now = 0; now < 7_200_000; now += 300_000) {
      expect(left.reached(now)).toBeUndefined();
      left.used(now);
    }
    expect(left.reached(7_199_999)).toBeUndefined();
    expect(left.reached(7_200_000)).toBe("total");
  });

  it("ends after so many uses", () => {
    const left = new Allowance({ ...LIMITS, uses: 2 }, 0);
    left.used(1);
    expect([left.reached(1), left.usesLeft]).toEqual([undefined, 1]);
    left.used(2);
    expect([left.reached(2), left.usesLeft]).toEqual(["uses", 0]);
  });

  it("says how long it has to go, and never that it lasts longer than in total", () => {
    const left = new Allowance({ idleMs: 100, totalMs: 150 }, 0);
    expect([left.idleLeftMs(10), left.totalLeftMs(10)]).toEqual([90, 140]);
    left.used(90);
    expect([left.idleLeftMs(90), left.totalLeftMs(90)]).toEqual([60, 60]);
    expect([left.idleLeftMs(1000), left.totalLeftMs(1000)]).toEqual([0, 0]);
  });
});

describe("the watch over standstills", () => {
  /** Ticks after so many milliseconds by either clock. */
  function stoodStill(...passed: readonly (readonly [monotonic: number, wall: number])[]): boolean {
    const watch = new StandstillWatch();
    let now = { monotonicMs: 5000, wallMs: 1_700_000_000_000 };
    watch.stoodStill(now);
    return passed
      .map(([monotonic, wall]) => {
        now = { monotonicMs: now.monotonicMs + monotonic, wallMs: now.wallMs + wall };
        return watch.stoodStill(now);
      })
      .includes(true);
  }

  it.each([
    ["ticks in time", [[TICK_MS, TICK_MS]], false],
    ["a busy machine", [[4000, 4000]], false],
    ["a clock that is adjusted a little", [[TICK_MS, TICK_MS + 3000]], false],
    ["sleep, in which the monotonic clock stands still", [[TICK_MS, 60_000]], true],
    ["sleep, in which it does not", [[60_000, 60_000]], true],
    ["a process that was stopped", [[7000, 7000]], true],
    ["a wall clock that is set back", [[TICK_MS, -3_600_000]], true],
  ] as const)("knows %s", (_what, passed, expected) => {
    expect(stoodStill(...passed)).toBe(expected);
  });

  it("starts anew after a pause that was meant", () => {
    const watch = new StandstillWatch();
    watch.stoodStill({ monotonicMs: 0, wallMs: 0 });
    watch.forget();
    expect(watch.stoodStill({ monotonicMs: 60_000, wallMs: 60_000 })).toBe(false);
  });
});
