/**
 * Several pieces of work side by side, so a token need not wait while files are read and written.
 * What can be seen from outside still happens in order: questions, errors, notes, and the naming of
 * files. Work that is ahead of its turn waits before it does any of these.
 */

/** The turn of one piece of work. */
export interface Turn {
  /** Everything before it is settled. */
  readonly hasCome: boolean;
  /** Nothing comes after it. */
  readonly isLast: boolean;
  /** Waits for that. Rejects with `Abandoned` if the run ends first. */
  come(): Promise<void>;
  /** Gives the next its turn: nothing that is left to do concerns it. */
  pass(): void;
}

/** Not an error: work that was ahead of its turn is given up, because the run has ended. */
export class Abandoned extends Error {}

/**
 * Runs `count` pieces of work, up to `ahead` of them at a time; the first one alone, because what
 * it finds (a wrong PIN, no token) may end the run.
 *
 * @param failed - told of failures in order; returns whether to go on
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
        begun.push(new Work((turn) => run(next, turn), next === count - 1));
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
      // It had passed its turn on, and then failed at the rest.
      const failure = work.hasCome ? work.newFailure() : undefined;
      if (failure !== undefined) failed(index, failure.error);
    }
  }
}

class Work implements Turn {
  hasCome = false;
  readonly isLast: boolean;
  readonly ended: Promise<void>;
  readonly #coming: Promise<void>;
  readonly #passed: Promise<void>;
  #failure: { readonly error: unknown } | undefined;
  #come!: () => void;
  #abandon!: (why: Abandoned) => void;
  #pass!: () => void;

  constructor(run: (turn: Turn) => Promise<void>, isLast: boolean) {
    this.isLast = isLast;
    this.#coming = new Promise((resolve, reject) => {
      this.#come = resolve;
      this.#abandon = reject;
    });
    // Whoever waits for it gets the rejection.
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

  /** Gives it its turn, and waits until it passes that on. */
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
    this.#abandon(new Abandoned("the run ended first"));
  }
}
