/** SoftHSM, with the tokens of the test environment, behind a module that fails on demand. */
import { type Faults, wrapModule, type WrappedModule } from "../../src/testing/index.js";
import type { Profile } from "../../src/testing/index.js";
import { SOFTHSM_MODULE } from "./softhsm.js";

/** Sets faults, as in `(faults) => faults.crash("C_Sign")`. */
export type SetFaults = (faults: Faults) => unknown;

/** A module of its own. It goes when the process ends, unless it is closed before. */
export async function softHsmBehind(
  set?: SetFaults,
  profile?: Omit<Profile, "source">,
): Promise<WrappedModule> {
  const wrapped = await wrapModule(SOFTHSM_MODULE, {
    profile: { source: "made up by a test", ...profile },
  });
  set?.(wrapped.faults);
  return wrapped;
}

/** How often each of these functions was called since the list was emptied. */
export function countedCalls(wrapped: WrappedModule, ...functions: string[]): number[] {
  const all = wrapped.calls();
  return functions.map((name) => all.filter(({ fn }) => fn === name).length);
}
