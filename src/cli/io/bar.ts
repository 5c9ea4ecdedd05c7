/**
 * A bar on stderr for work that takes long enough for people to wonder. Only at a terminal, and not
 * with `--quiet`. Whatever else is written there takes the bar away first.
 */
import type { SingleBar } from "cli-progress";
import { onInterrupt } from "../../terminal/interrupts.js";
import type { Io } from "./io.js";

/** Shorter work shows no bar. */
const PATIENCE_MS = 700;

/** True if somebody might see a bar. */
export function isSeen({ stderr }: Io, quiet: boolean): boolean {
  return !quiet && stderr.isTTY === true;
}

export class Bar {
  readonly #stderr: Io["stderr"];
  readonly #format: string;
  readonly #makeWay: (() => void) | undefined;
  readonly #forget: () => void;
  /** How much there is to do; undefined: not known yet, and no bar until it is. */
  #total: number | undefined;
  #done = 0;
  #startedAt: number | undefined;
  #bar: SingleBar | undefined;
  #isComing = false;
  #isHeld = false;
  #isOver = false;

  /**
   * @param format - as `cli-progress` has it
   * @param makeWay - called before the bar is shown
   */
  constructor({ stderr }: Io, format: string, makeWay?: () => void) {
    this.#stderr = stderr;
    this.#format = format;
    this.#makeWay = makeWay;
    this.#forget = onInterrupt(() => {
      this.stop();
    });
  }

  /** The work begins. Time before this, such as for typing a PIN, doesn't count. */
  start(): void {
    this.#startedAt ??= Date.now();
  }

  set total(total: number) {
    this.#total = total;
  }

  get done(): number {
    return this.#done;
  }

  set done(done: number) {
    this.#done = done;
    this.#bar?.update(done);
    if (this.#bar === undefined && this.#isDue()) void this.#show();
  }

  /** Takes the bar away, until more is done. */
  hide(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  /** Takes the bar away until `release`: a question is on the screen. */
  hold(): void {
    this.#isHeld = true;
    this.hide();
  }

  release(): void {
    this.#isHeld = false;
  }

  /** Takes the bar away for good. */
  stop(): void {
    this.#isOver = true;
    this.hide();
    this.#forget();
  }

  #isDue(): boolean {
    if (this.#isOver || this.#isHeld || this.#total === undefined) return false;
    return this.#startedAt !== undefined && Date.now() - this.#startedAt > PATIENCE_MS;
  }

  async #show(): Promise<void> {
    if (this.#isComing) return;
    this.#isComing = true;
    const { SingleBar } = await import("cli-progress");
    this.#isComing = false;
    if (this.#bar !== undefined || !this.#isDue()) return;
    this.#makeWay?.();
    this.#bar = new SingleBar({
      stream: this.#stderr,
      format: this.#format,
      clearOnComplete: true,
      hideCursor: null,
      barsize: 30,
      etaBuffer: 200,
    });
    this.#bar.start(this.#total ?? 0, this.#done);
  }
}
