/** A gate that lets in one use at a time, or a few, in the order in which they arrive. */

export interface Turn {
  /** No other use was inside at any time so far. */
  readonly isAlone: boolean;
}

export class Turnstile {
  #most = 1;
  /** Whether each use that is inside was alone so far. */
  readonly #inside = new Set<{ isAlone: boolean }>();
  readonly #waiting: (() => void)[] = [];

  /** How many may be inside from now on. Those that are inside stay. */
  admit(most: number): void {
    this.#most = most;
    this.#letIn();
  }

  async through<T>(use: (turn: Turn) => Promise<T>): Promise<T> {
    const turn = { isAlone: true };
    await new Promise<void>((resolve) => {
      this.#waiting.push(() => {
        turn.isAlone = this.#inside.size === 0;
        for (const other of this.#inside) other.isAlone = false;
        this.#inside.add(turn);
        resolve();
      });
      this.#letIn();
    });
    try {
      return await use(turn);
    } finally {
      this.#inside.delete(turn);
      this.#letIn();
    }
  }

  #letIn(): void {
    while (this.#inside.size < this.#most) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      next();
    }
  }
}
