/** A promise, and the test that it is kept. */
import type { Bench } from "./bench.js";

export interface Row {
  /** The row's key in `stated.json`. */
  readonly id: string;
  /**
   * Throws if the promise is not kept. Returns the way it was kept, if there are several.
   */
  readonly run: (bench: Bench) => Promise<string | undefined>;
}

/** A row that is kept in one way only. */
export function row(id: string, run: (bench: Bench) => Promise<void>): Row {
  return {
    id,
    run: async (bench) => {
      await run(bench);
      return undefined;
    },
  };
}
