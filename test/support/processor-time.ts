/** Bounds that hold on a busy machine: on processor time, in which waiting does not count. */
import { expect } from "@jest/globals";

/** Caches, compilation and the collection of garbage make single runs slower. */
const MAX_RUNS = 3;

/** What `step` returns. It must take less than `seconds` of processor time in one of its runs. */
export function withinSeconds<T>(seconds: number, step: () => T): T {
  let least = Infinity;
  for (let run = 1; ; run++) {
    const started = process.cpuUsage();
    const result = step();
    const { user, system } = process.cpuUsage(started);
    least = Math.min(least, (user + system) / 1e6);
    if (least < seconds || run === MAX_RUNS) {
      expect(least).toBeLessThan(seconds);
      return result;
    }
  }
}
