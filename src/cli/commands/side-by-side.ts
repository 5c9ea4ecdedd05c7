/** Work on several files at once, with the results in the files' order. */

export interface SideBySide {
  /** How many are worked on at a time, those included whose result waits for its turn. */
  readonly most: number;
  /** The first one is worked on alone: what it finds (a wrong PIN, no token) may end the run. */
  readonly firstAlone?: boolean;
}

/**
 * @throws whatever `work` throws, in its item's turn, and nothing more is begun then; what `items`
 *   throws, after the results of the items before
 */
export async function* sideBySide<T, R>(
  items: AsyncIterable<T>,
  { most, firstAlone = false }: SideBySide,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const begun: Promise<R>[] = [];
  const ending: { fault?: { readonly error: unknown } } = {};
  const untilFault = async function* (): AsyncGenerator<T, void, undefined> {
    try {
      yield* items;
    } catch (error) {
      ending.fault = { error };
    }
  };
  let room = firstAlone ? 1 : most;
  try {
    for await (const item of untilFault()) {
      const result = work(item);
      // Whoever waits for it gets the error; until then nobody does.
      result.catch(() => undefined);
      begun.push(result);
      if (begun.length < room) continue;
      yield await (begun.shift() as Promise<R>);
      room = most;
    }
    for (let next = begun.shift(); next !== undefined; next = begun.shift()) yield await next;
  } finally {
    await Promise.allSettled(begun);
  }
  if (ending.fault !== undefined) throw ending.fault.error;
}
