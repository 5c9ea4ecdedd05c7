/**
 * One call of a C function: its arguments, what has to stay in memory until it returns, and how to
 * read the results that it wrote. It runs here or on a thread.
 */
import type { CalledFunction, Functions } from "./function-list.js";
import type { Argument, ForeignFunction } from "./koffi.js";
import { CKR, ReturnValueError } from "./return-value-error.js";

export interface ForeignCall<T> {
  readonly fn: CalledFunction;
  readonly args: readonly Argument[];
  /** What the arguments point to. */
  readonly keep?: unknown;
  /** Reads the results. @throws ReturnValueError when they can't be what the module wrote */
  readonly result: () => T;
}

/** Runs a call in this thread. */
export function runNow<T>(functions: Functions, call: ForeignCall<T>): T {
  const rv = functionOf(functions, call.fn)(...call.args);
  return settled(call, rv);
}

/** Runs a call on a thread of libuv's pool. `call` and all that it keeps live until it is over. */
export async function runOnThread<T>(functions: Functions, call: ForeignCall<T>): Promise<T> {
  const rv = await new Promise<number | bigint>((resolve, reject) => {
    functionOf(functions, call.fn).async(...call.args, (error, returned) => {
      if (error === null) resolve(returned);
      else reject(error);
    });
  });
  return settled(call, rv);
}

function functionOf(functions: Functions, fn: CalledFunction): ForeignFunction {
  const found = functions[fn];
  if (found === undefined) throw new ReturnValueError(fn, CKR.FUNCTION_NOT_SUPPORTED);
  return found;
}

function settled<T>({ fn, result }: ForeignCall<T>, rv: number | bigint): T {
  if (Number(rv) !== 0) throw new ReturnValueError(fn, Number(rv));
  return result();
}
