/**
 * Faults on demand: functions that fail, crash, hang or lie, and a token that is pulled. What is
 * set here holds at once, also for programs that have the token open.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defined } from "../defined.js";
import { UsageError } from "../errors.js";
import { attributeType, type AttributeName } from "../token/modules/template.js";
import { knownReturnValues, returnValue } from "../token/modules/ckr.js";
import { givesValue, isFunction, type PkcsFunction } from "./functions.js";
import { type SetAnswer, type SetFault, type ShimSettings, UNTOUCHED } from "./shim-settings.js";

/** What a fault strikes. Calls are counted from when it is set, in all processes together. */
export interface FaultOptions {
  /** The first call that it strikes, from 1; by default 1. */
  readonly at?: number;
  /** How many calls it strikes; by default all that follow. */
  readonly times?: number;
  /** `login`: it strikes no more once a process has logged in. */
  readonly until?: "login";
  /**
   * Of C_GetAttributeValue: calls for this attribute alone, without `CKA_`. By default VALUE where
   * the result is cut or changed, else any.
   */
  readonly attribute?: AttributeName | "any";
}

/** A fault with a return value. */
export interface FailOptions extends FaultOptions {
  /** As in `CKR_DEVICE_ERROR`, or a number. */
  readonly rv: string | number;
}

/**
 * What the person at a PIN pad does when the reader asks: `types` a PIN, lets the reader refuse one
 * (CKR_PIN_INCORRECT), cancels (CKR_FUNCTION_CANCELED), lets its time run out (the same, only
 * later), or finds the PIN locked (CKR_PIN_LOCKED). Also any other return value, as in
 * `CKR_PIN_EXPIRED`.
 */
export type PadAnswer =
  "types" | "refused" | "cancelled" | "timed out" | "locked" | `CKR_${string}` | number;

/** Questions are counted from when the answer is set, in all processes together. */
export interface PadOptions extends Pick<FaultOptions, "at" | "times"> {
  /** How long it takes, milliseconds; by default none, and 15 s where the time runs out. */
  readonly takes?: number;
  /** What is typed; by default the right PIN. */
  readonly pin?: string;
  /** What is typed as the new PIN, where one is changed; by default the token keeps its PIN. */
  readonly newPin?: string;
}

/** A fault that is set. */
export interface Fault {
  /** How many calls it has struck so far. */
  readonly hits: number;
  /** Ends it. */
  clear(): void;
}

/** The faults of one token. */
export class Faults {
  readonly #settings: ShimSettings;
  readonly #folder: string;
  #count = 0;

  /** @internal */
  constructor(settings: ShimSettings, folder: string) {
    this.#settings = settings;
    this.#folder = folder;
  }

  /** The function returns a value of its own, and the token sees nothing of the call. */
  fail(fn: PkcsFunction, { rv, ...options }: FailOptions): Fault {
    return this.#set(fn, "rv", { ...options, value: numberOf(rv) });
  }

  /** The process that calls it dies of SIGSEGV. */
  crash(fn: PkcsFunction, options: FaultOptions = {}): Fault {
    return this.#set(fn, "crash", options);
  }

  /** The process that calls it aborts (SIGABRT), as after a failed assertion. */
  abort(fn: PkcsFunction, options: FaultOptions = {}): Fault {
    return this.#set(fn, "abort", options);
  }

  /** The process that calls it exits with status 3. */
  exit(fn: PkcsFunction, options: FaultOptions = {}): Fault {
    return this.#set(fn, "exit", options);
  }

  /** The call never returns. Set for a process of its own, or this one hangs. */
  hang(fn: PkcsFunction, options: FaultOptions = {}): Fault {
    return this.#set(fn, "hang", options);
  }

  /** The call takes so many milliseconds longer. */
  slow(fn: PkcsFunction, ms: number, options: FaultOptions = {}): Fault {
    return this.#set(fn, "slow", { ...options, value: ms });
  }

  /** The call prints its name to standard output, as modules do that were not finished. */
  print(fn: PkcsFunction, options: FaultOptions = {}): Fault {
    return this.#set(fn, "print", options);
  }

  /**
   * What the call gives back lacks its end: a byte of bytes, the last of a list, the last letter of
   * a name; instead of a handle there is 0.
   */
  short(fn: PkcsFunction, options: FaultOptions = {}): Fault {
    return this.#set(requireValue(fn), "short", options);
  }

  /** What the call gives back is another value: a bit is turned, a handle is nobody's. */
  wrong(fn: PkcsFunction, options: FaultOptions = {}): Fault {
    return this.#set(requireValue(fn), "wrong", options);
  }

  /**
   * What happens at the PIN pad of the profile `pad`. Without it, the person types the right PIN at
   * once. The reader asks in C_Login, C_SetPIN, C_InitPIN and C_InitToken.
   */
  pad(answer: PadAnswer, options: PadOptions = {}): Fault {
    const { profile, answers } = this.#settings.now;
    if (!profile.shows?.pinPad) {
      throw new UsageError("ERR_TEST_FAULT", "the token's reader has no PIN pad", {
        hint: 'make it with the profile "pad"',
      });
    }
    const { takes = answer === "timed out" ? READER_MS : 0, pin, newPin } = options;
    requireNumbers({ takes: [takes, 0] });
    if (answer !== "types" && (pin ?? newPin) !== undefined) {
      throw new UsageError("ERR_TEST_FAULT", `a PIN is given, and the answer is "${answer}"`);
    }
    if (pin === "" || newPin === "") throw new UsageError("ERR_TEST_FAULT", "a PIN is empty");
    const rv = answer === "types" ? 0 : (PAD_ENDS.get(answer) ?? numberOf(answer));
    const { fault, ...when } = this.#next(options, (id) => {
      const others = this.#settings.now.answers.filter((one) => one.id !== id);
      this.#settings.change({ answers: others });
    });
    const set: SetAnswer = { ...when, rv, takesMs: takes, pin, newPin };
    this.#settings.change({ answers: [...answers, set] });
    return fault;
  }

  /** Flags of CK_TOKEN_INFO that show besides, as 0x20000: CKF_USER_PIN_FINAL_TRY. */
  tokenFlags(flags: number): void {
    requireNumbers({ flags: [flags, 0] });
    this.#settings.change({ tokenFlags: flags });
  }

  /** Pulls the token: its sessions end (CKR_SESSION_HANDLE_INVALID), its slot is empty. */
  pull(): void {
    const { present, epoch } = this.#settings.now;
    if (present) this.#settings.change({ present: false, epoch: epoch + 1 });
  }

  /** Puts it back. The old sessions stay invalid, and nobody is logged in. */
  insert(): void {
    this.#settings.change({ present: true });
  }

  /** Ends all faults, and puts a pulled token back. */
  clear(): void {
    const { epoch } = this.#settings.now;
    this.#settings.change({ ...UNTOUCHED, epoch });
  }

  #set(
    fn: PkcsFunction,
    action: SetFault["action"],
    options: FaultOptions & { readonly value?: number },
  ): Fault {
    if (!isFunction(fn)) {
      throw new UsageError("ERR_TEST_FAULT", `PKCS#11 v2.40 has no function "${String(fn)}"`);
    }
    const { value = 0, until } = options;
    const { attribute = action === "short" || action === "wrong" ? "VALUE" : "any" } = options;
    requireNumbers({ value: [value, 0] });
    const { fault, ...when } = this.#next(options, (id) => {
      const others = this.#settings.now.faults.filter((one) => one.id !== id);
      this.#settings.change({ faults: others });
    });
    const set: SetFault = {
      ...{ ...when, fn, action, value },
      attribute: attribute === "any" ? "any" : attributeType(attribute),
      untilLogin: until === "login",
    };
    this.#settings.change({ faults: [...this.#settings.now.faults, set] });
    return fault;
  }

  /** The number of the next fault, when it strikes, and what its caller gets. */
  #next(
    { at = 1, times }: Pick<FaultOptions, "at" | "times">,
    clear: (id: number) => void,
  ): { readonly id: number; readonly at: number; readonly times: number; readonly fault: Fault } {
    requireNumbers({ at: [at, 1], times: [times ?? 1, 1] });
    const id = this.#count++;
    if (id >= MOST_FAULTS) {
      throw new UsageError("ERR_TEST_FAULT", `more than ${MOST_FAULTS} faults were set`, {
        hint: "use a token of its own for each test: clone() is cheap",
      });
    }
    const folder = this.#folder;
    const fault: Fault = {
      get hits() {
        const since = counterAt(folder, id) - at + 1;
        return Math.max(0, Math.min(since, times ?? Infinity));
      },
      clear: () => {
        clear(id);
      },
    };
    return { id, at, times: times ?? 0, fault };
  }
}

/** @throws UsageError for a number that is none, or less than its least */
function requireNumbers(numbers: Readonly<Record<string, readonly [number, number]>>): void {
  for (const [name, [number, least]] of Object.entries(numbers)) {
    if (Number.isInteger(number) && number >= least && number <= 0xffff_ffff) continue;
    throw new UsageError("ERR_TEST_FAULT", `"${name}" of a fault is ${number}`);
  }
}

/** Readers wait as long for a PIN, or longer. */
const READER_MS = 15_000;

/** How the reader ends without a PIN (CK_RV). */
const PAD_ENDS: ReadonlyMap<PadAnswer, number> = new Map([
  ["refused", numberOf("CKR_PIN_INCORRECT")],
  ["cancelled", numberOf("CKR_FUNCTION_CANCELED")],
  ["timed out", numberOf("CKR_FUNCTION_CANCELED")],
  ["locked", numberOf("CKR_PIN_LOCKED")],
]);

/** The file of counters has room for so many (shim/settings.h). */
const MOST_FAULTS = 4096;

/** How often the shim has counted for a fault. */
function counterAt(folder: string, id: number): number {
  try {
    return Number(readFileSync(join(folder, "counters")).readBigUInt64LE(8 * id));
  } catch {
    // The file appears with the first call that counts.
    return 0;
  }
}

function requireValue(fn: PkcsFunction): PkcsFunction {
  if (!isFunction(fn) || givesValue(fn)) return fn;
  throw new UsageError("ERR_TEST_FAULT", `${fn} gives back nothing that could be short or wrong`);
}

/** The number of a return value. @throws UsageError for an unknown name */
export function numberOf(rv: string | number): number {
  if (typeof rv === "number") {
    if (Number.isInteger(rv) && rv >= 0 && rv <= 0xffff_ffff) return rv;
    throw new UsageError("ERR_TEST_FAULT", `${rv} is not a return value of PKCS#11`);
  }
  if (rv === "CKR_OK") return 0;
  const found = knownReturnValues().find((code) => returnValue(code).name === rv);
  if (found !== undefined) return found;
  throw new UsageError("ERR_TEST_FAULT", `PKCS#11 has no return value "${rv}"`, {
    ...defined({ hint: rv.startsWith("CKR_") ? undefined : `the names begin with "CKR_"` }),
  });
}
