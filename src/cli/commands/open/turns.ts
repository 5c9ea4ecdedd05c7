/**
 * Several pieces of work side by side, so that a token need not wait while files are read and
 * written. What can be seen from outside still happens in their order: questions, errors, notes,
 * and the names that files get. Work that is ahead of its turn waits with those.
 */

/** The turn of one piece of work. */
export interface Turn {
  /** Everything before it is settled. */
  readonly hasCome: boolean;
  /** Waits for that. Rejects with `Abandoned` when the run ends before. */
  come(): Promise<void>;
  /** Nothing of what is left to do need keep the next from its turn. */
  pass(): void;
}

/** Not an error: work that was ahead of its turn is given up, since the run ended before. */
export class Abandoned extends Error {}

/**
 * Runs `count` pieces of work, up to `ahead` of them at a time; the first one alone, since what it
 * finds (a wrong PIN, no token) may end the run.
 *
 * @param failed - told of failures in their order; whether to go on.
 * @returns when all that was begun has ended
 */
export async function inTurns(
  count: number,
  ahead: number,
  run: (index: number, turn: Turn) => Promise<void>,
  failed: (index: number, error: unknown) => boolean,
): Promise<void> {
  const begun: Work[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const until = index === 0 ? 1 : Math.min(count, index + ahead);
      for (let next = begun.length; next < until; next++) {
        begun.push(new Work((turn) => run(next, turn)));
      }
      const work = begun[index];
      await work?.itsTurn();
      const failure = work?.newFailure();
      if (failure !== undefined && !failed(index, failure.error)) return;
    }
  } finally {
    for (const work of begun) work.abandon();
    for (const [index, work] of begun.entries()) {
      await work.ended;
      // It had passed its turn on, and failed at what was left.
      const failure = work.hasCome ? work.newFailure() : undefined;
      if (failure !== undefined) failed(index, failure.error);
    }
  }
}

class Work implements Turn {
  hasCome = false;
  readonly ended: Promise<void>;
  readonly #coming: Promise<void>;
  readonly #passed: Promise<void>;
  #failure: { readonly error: unknown } | undefined;
  #come!: () => void;
  #abandon!: (why: Abandoned) => void;
  #pass!: () => void;

  constructor(run: (turn: Turn) => Promise<void>) {
    this.#coming = new Promise((resolve, reject) => {
      this.#come = resolve;
      this.#abandon = reject;
    });
    // Whoever waits for it hears of it.
    this.#coming.catch(() => undefined);
    this.#passed = new Promise((resolve) => {
      this.#pass = resolve;
    });
    this.ended = run(this).then(
      () => {
        this.#pass();
      },
      (error: unknown) => {
        this.#failure = { error };
        this.#pass();
      },
    );
  }

  come(): Promise<void> {
    return this.#coming;
  }

  pass(): void {
    this.#pass();
  }

  /** Gives it its turn, and waits until that has passed. */
  itsTurn(): Promise<void> {
    this.hasCome = true;
    this.#come();
    return this.#passed;
  }

  /** How it failed, if it has; tells each failure once. */
  newFailure(): { readonly error: unknown } | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }

  /** Ends waiting for a turn that will not come. */
  abandon(): void {
    this.#abandon(new Abandoned("the run ended before"));
  }
}
