/**
 * Files that are worked on side by side, so that the disk flushes several at once; what comes of
 * them is told in their order. The first is alone: what it finds (a wrong PIN, no token) may be the
 * end of all.
 */

/**
 * @param work - never rejects
 * @param told - what came of each
 */
export async function sideBySide<T, R>(
  items: AsyncIterable<T>,
  atATime: number,
  work: (item: T) => Promise<R>,
  told: (result: R) => void,
): Promise<void> {
  const begun: Promise<R>[] = [];
  let isFirst = true;
  const settle = async (): Promise<void> => {
    const [next] = begun.splice(0, 1);
    if (next !== undefined) told(await next);
  };
  try {
    for await (const item of items) {
      begun.push(work(item));
      while (begun.length >= (isFirst ? 1 : atATime)) await settle();
      isFirst = false;
    }
  } finally {
    while (begun.length > 0) await settle();
  }
}

/** Runs what it is given one after the other. */
export class Turnstile {
  #last: Promise<unknown> = Promise.resolve();

  through<T>(use: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(use);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
