/**
 * How long a login lasts, and how many messages it opens. Times are milliseconds of a monotonic
 * clock, which the caller reads: nothing here looks at a clock, and nobody moves this one by
 * setting the date.
 */

export interface Limits {
  /** A login that nobody uses for so long ends. */
  readonly idleMs: number;
  /** No login lasts longer. */
  readonly totalMs: number;
  /** So many uses, and the login ends. By default any number. */
  readonly uses?: number;
}

/** As gpg-agent has them. */
export const DEFAULT_LIMITS: Limits = { idleMs: 600_000, totalMs: 7_200_000 };

/** Why a login ended by itself. */
export type LimitReached = "idle" | "total" | "uses";

/** What is left of a login. */
export class Allowance {
  readonly #limits: Limits;
  readonly #beganMs: number;
  #lastUseMs: number;
  #uses = 0;

  constructor(limits: Limits, nowMs: number) {
    this.#limits = limits;
    this.#beganMs = nowMs;
    this.#lastUseMs = nowMs;
  }

  /** Uses so far. */
  get uses(): number {
    return this.#uses;
  }

  /** Undefined: any number. */
  get usesLeft(): number | undefined {
    const { uses } = this.#limits;
    return uses === undefined ? undefined : Math.max(0, uses - this.#uses);
  }

  /** The key was used, whatever came of it. */
  used(nowMs: number): void {
    this.#uses += 1;
    this.#lastUseMs = nowMs;
  }

  /** How long until the login ends, if nobody uses it before. */
  idleLeftMs(nowMs: number): number {
    return Math.max(
      0,
      Math.min(this.#lastUseMs + this.#limits.idleMs - nowMs, this.totalLeftMs(nowMs)),
    );
  }

  totalLeftMs(nowMs: number): number {
    return Math.max(0, this.#beganMs + this.#limits.totalMs - nowMs);
  }

  /** Undefined: the login goes on. */
  reached(nowMs: number): LimitReached | undefined {
    if (this.usesLeft === 0) return "uses";
    if (this.totalLeftMs(nowMs) === 0) return "total";
    return this.idleLeftMs(nowMs) === 0 ? "idle" : undefined;
  }
}

/** A moment by both clocks, milliseconds. */
export interface Moment {
  /** Stands still while the machine sleeps, on Linux. */
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** Notices that this process stood still: the machine slept, or somebody stopped the process. */
export class StandstillWatch {
  #last: Moment | undefined;

  /**
   * To be called every `TICK_MS`. True if far more time passed since the last call, by either
   * clock; or if the wall clock was set, which looks the same.
   */
  stoodStill(now: Moment): boolean {
    const last = this.#last;
    this.#last = now;
    if (last === undefined) return false; // The first call.
    const passed = now.monotonicMs - last.monotonicMs;
    const shown = now.wallMs - last.wallMs;
    return passed > TICK_MS + SLACK_MS || Math.abs(shown - passed) > SLACK_MS;
  }

  /** Nobody calls it for a while. */
  forget(): void {
    this.#last = undefined;
  }
}

/** How often an agent with a login looks at its limits. */
export const TICK_MS = 1000;

/** A busy machine may be late by some seconds. */
const SLACK_MS = 5000;
