/** Why no test token can be made here. Tests are skipped with this reason. */
import { UnsupportedError } from "../errors.js";

/** Something that test tokens need is not on this machine. */
export function unavailable(what: string, hint: string, cause?: unknown): UnsupportedError {
  return new UnsupportedError(UNAVAILABLE, what, { hint, cause });
}

/** The code of such an error. */
export const UNAVAILABLE = "ERR_TEST_TOKEN_UNAVAILABLE";
