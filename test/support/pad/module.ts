/** SoftHSM, with the tokens of the test environment, in a reader with a PIN pad. */
import type { Fault, PadAnswer, WrappedModule } from "../../../src/testing/index.js";
import { softHsmBehind } from "../behind-shim.js";

/** A PIN pad, and the person who types there. */
export class Pad {
  readonly #wrapped: WrappedModule;
  #answers: readonly Fault[] = [];

  private constructor(wrapped: WrappedModule) {
    this.#wrapped = wrapped;
    this.person();
  }

  static async start(): Promise<Pad> {
    return new Pad(await softHsmBehind(undefined, { shows: { pinPad: true } }));
  }

  /** The module's path. */
  get module(): string {
    return this.#wrapped.module;
  }

  /**
   * What the person does from now on, at each question of the reader: `types PIN`, `types OLD NEW`,
   * an answer, or `crashes`, after so many milliseconds. After that the reader's time runs out.
   */
  person(...acts: readonly (readonly [ms: number, act: string])[]): void {
    const { faults } = this.#wrapped;
    faults.clear();
    this.#wrapped.forgetCalls();
    let at = 1;
    const answers = acts.flatMap(([takes, act]) => {
      const [verb = "", pin, newPin] = act.split(" ");
      if (verb === "crashes") {
        // Before the reader asks.
        faults.crash("C_Login", { at, times: 1 });
        return [];
      }
      const when = { at: at++, times: 1, takes };
      if (verb !== "types") return [faults.pad(act as PadAnswer, when)];
      return [
        faults.pad("types", {
          ...when,
          ...(pin === undefined ? {} : { pin }),
          ...(newPin === undefined ? {} : { newPin }),
        }),
      ];
    });
    this.#answers = [...answers, faults.pad("cancelled", { at })];
  }

  /** Flags of CK_TOKEN_INFO that the token has besides, until `person` is called again. */
  flags(flags: number): void {
    this.#wrapped.faults.tokenFlags(flags);
  }

  /** How often the reader has asked since then. */
  asked(): number {
    return this.#answers.reduce((sum, { hits }) => sum + hits, 0);
  }

  /** The calls since then that have a PIN typed, as in "C_Login user", in the order they ended. */
  calls(): string[] {
    return this.#wrapped
      .calls()
      .filter(({ pin }) => pin !== undefined)
      .map(({ fn, user, pin }) => {
        const who = user === undefined ? "" : ` ${WHO[String(user)] ?? user}`;
        return `${fn}${who}${pin === true ? " with a PIN" : ""}`;
      });
  }
}

const WHO: Readonly<Record<string, string>> = {
  CKU_SO: "SO",
  CKU_USER: "user",
  CKU_CONTEXT_SPECIFIC: "use",
};

/** What readers return without a PIN. */
export const RETURNS = {
  cancelled: "cancelled",
  rejected: "CKR_FUNCTION_REJECTED",
  refused: "refused",
  locked: "locked",
  expired: "CKR_PIN_EXPIRED",
  failed: "CKR_FUNCTION_FAILED",
} as const;
