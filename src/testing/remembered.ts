/**
 * What is made once in a process. After that it is a plain value, not a promise, so that a token
 * that needs nothing new is made without waiting for others.
 */

export class Remembered<T> {
  readonly #values = new Map<string, T | Promise<T>>();

  /** The value for `key`, or a promise of it while it is being made. A failure is forgotten. */
  get(key: string, make: () => T | Promise<T>): T | Promise<T> {
    const known = this.#values.get(key);
    if (known !== undefined) return known;
    const started = make();
    this.#values.set(key, started);
    if (started instanceof Promise) {
      started.then(
        (value) => this.#values.set(key, value),
        () => this.#values.delete(key),
      );
    }
    return started;
  }
}
