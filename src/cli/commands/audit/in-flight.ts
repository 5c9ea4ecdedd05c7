/** Work on several items at once, with the results in the items' order. */

/**
 * @param most - how many items are worked on at a time, those included whose result is waited for
 * @throws whatever `work` throws, in its item's turn; nothing more is begun then
 */
export async function* inFlight<T, R>(
  items: AsyncIterable<T>,
  most: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const begun: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const result = work(item);
      // Whoever waits for it gets the error; until then nobody does.
      result.catch(() => undefined);
      begun.push(result);
      if (begun.length >= most) yield await (begun.shift() as Promise<R>);
    }
    for (let next = begun.shift(); next !== undefined; next = begun.shift()) yield await next;
  } finally {
    await Promise.allSettled(begun);
  }
}
