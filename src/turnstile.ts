/** A gate that lets in one use at a time, or a few, in the order in which they arrive. */

export interface Turn {
  /** No other use was inside at any time so far. */
  readonly isAlone: boolean;
  /** Leaves: the next one's turn has come. */
  end(): void;
}

export class Turnstile {
  #most: number;
  /** Whether each use that is inside was alone so far. */
  readonly #inside = new Set<{ isAlone: boolean }>();
  readonly #waiting = new Set<() => void>();

  constructor(most = 1) {
    this.#most = most;
  }

  /** How many may be inside from now on. Those that are inside stay. */
  admit(most: number): void {
    this.#most = most;
    this.#letIn();
  }

  /**
   * Where there is room, `use` is called before this returns.
   *
   * @param signal - takes it back while it waits: rejects with the signal's reason then
   */
  async through<T>(use: (turn: Turn) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const turn = this.#hasRoom ? this.#enter() : await this.enter(signal);
    try {
      return await use(turn);
    } finally {
      turn.end();
    }
  }

  /** For a use that ends elsewhere: waits for its turn, which the caller has to end. */
  async enter(signal?: AbortSignal): Promise<Turn> {
    signal?.throwIfAborted();
    if (this.#hasRoom) return this.#enter();
    return new Promise<Turn>((resolve, reject) => {
      const letIn = (): void => {
        signal?.removeEventListener("abort", leave);
        resolve(this.#enter());
      };
      const leave = (): void => {
        this.#waiting.delete(letIn);
        reject(signal?.reason as Error);
      };
      this.#waiting.add(letIn);
      signal?.addEventListener("abort", leave, { once: true });
    });
  }

  get #hasRoom(): boolean {
    return this.#inside.size < this.#most;
  }

  #enter(): Turn {
    const own = { isAlone: this.#inside.size === 0 };
    for (const other of this.#inside) other.isAlone = false;
    this.#inside.add(own);
    return {
      get isAlone() {
        return own.isAlone;
      },
      end: () => {
        this.#inside.delete(own);
        this.#letIn();
      },
    };
  }

  #letIn(): void {
    for (const letIn of this.#waiting) {
      if (!this.#hasRoom) return;
      this.#waiting.delete(letIn);
      letIn();
    }
  }
}
