/**
 * What a module tells of its slots: that a token was put in, or pulled. Each event is told once to
 * the whole process (PKCS#11 v2.40 §5.5, C_WaitForSlotEvent), so events are counted here, for all
 * who use the module. Nobody waits for one: a call that waits would keep the process from ending.
 */
import { TokenError } from "../../errors.js";
import type { Cryptoki } from "./binding.js";
import { call, failedWith } from "./call.js";
import { DONT_BLOCK } from "./constants.js";

export class SlotEvents {
  readonly #native: Pick<Cryptoki, "C_WaitForSlotEvent">;
  readonly #counts = new Map<string, number>();
  #areTold = true;

  constructor(native: Pick<Cryptoki, "C_WaitForSlotEvent">) {
    this.#native = native;
  }

  /**
   * How many events there were in a slot so far. The number says nothing; that it has changed says
   * that the token may be another one. It never changes where a module tells no events.
   */
  count(slot: Buffer): number {
    for (let heard = 0; this.#areTold && heard < MOST_AT_ONCE; heard += 1) {
      const happened = this.#next();
      if (happened === undefined) break;
      this.#counts.set(happened, (this.#counts.get(happened) ?? 0) + 1);
    }
    return this.#counts.get(slot.toString("hex")) ?? 0;
  }

  /** The slot of the next event; undefined: there is none. */
  #next(): string | undefined {
    try {
      const slot = call("C_WaitForSlotEvent", () => this.#native.C_WaitForSlotEvent(DONT_BLOCK));
      return slot?.toString("hex");
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      if (failedWith(error, "CKR_FUNCTION_NOT_SUPPORTED")) this.#areTold = false;
      // Otherwise a reader may be in trouble: whatever the token is needed for says so.
      return undefined;
    }
  }
}

/** More than there are slots: a module that always has another event would never end the loop. */
const MOST_AT_ONCE = 256;
