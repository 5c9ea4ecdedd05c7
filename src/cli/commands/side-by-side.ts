/** Work on several items at once, with the results in the items' order. */

export interface SideBySide {
  /** How many are worked on at a time. */
  readonly most: number;
  /**
   * How many more results may wait until one before them is there. One item that takes long then
   * holds up no others.
   */
  readonly ahead?: number;
  /** The first one is worked on alone: what it finds (a wrong PIN, no token) may end the run. */
  readonly firstAlone?: boolean;
}

/**
 * @throws whatever `work` throws, in its item's turn, and nothing more is begun then; what `items`
 *   throws, after the results of the items before
 */
export async function* sideBySide<T, R>(
  items: AsyncIterable<T>,
  { most, ahead = 0, firstAlone = false }: SideBySide,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const begun: Begun<R>[] = [];
  const ending: { fault?: { readonly error: unknown } } = {};
  const untilFault = async function* (): AsyncGenerator<T, void, undefined> {
    try {
      yield* items;
    } catch (error) {
      ending.fault = { error };
    }
  };
  let room = { most, ahead };
  if (firstAlone) room = { most: 1, ahead: 0 };
  let working = 0;
  let wake = (): void => undefined;
  const begin = (item: T): Begun<R> => {
    const result = work(item);
    const one: Begun<R> = { result, isDone: false };
    working++;
    const done = (): void => {
      one.isDone = true;
      working--;
      wake();
    };
    // Whoever waits for it gets the error; until then nobody does.
    result.then(done, done);
    return one;
  };
  try {
    for await (const item of untilFault()) {
      begun.push(begin(item));
      for (;;) {
        const [first] = begun;
        if (first?.isDone === true) {
          begun.shift();
          yield await first.result;
          room = { most, ahead };
        } else if (working < room.most && begun.length < room.most + room.ahead) {
          break;
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    }
    for (let next = begun.shift(); next !== undefined; next = begun.shift()) {
      yield await next.result;
    }
  } finally {
    await Promise.allSettled(begun.map(({ result }) => result));
  }
  if (ending.fault !== undefined) throw ending.fault.error;
}

interface Begun<R> {
  readonly result: Promise<R>;
  isDone: boolean;
}
