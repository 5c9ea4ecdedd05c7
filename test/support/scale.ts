/**
 * How much the slow tests do. `npm test` does a part; `npm run test:slow`, which sets `SLOW=1`,
 * does all: every round of the races and crashes, every damaged input, every published vector.
 */

export const isFull = process.env["SLOW"] === "1";

/**
 * How often something is repeated: `full` times by `npm run test:slow`, `quick` times otherwise.
 */
export function scaled(full: number, quick: number): number {
  return isFull ? full : quick;
}

/** Numbers from `from` to below `to`: all of them, or one of `step` and those at both ends. */
export function places(from: number, to: number, step: number): number[] {
  const all = Array.from({ length: to - from }, (_, index) => from + index);
  if (isFull) return all;
  const ends = 8;
  return all.filter((_, i) => i % step === 0 || i < ends || i >= all.length - ends);
}
