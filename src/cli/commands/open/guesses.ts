/**
 * A brake on guessing. Whoever attacks a private key through the one who holds it needs thousands
 * of forged wraps, each of which fails to open. So a run that opens many messages stops using a key
 * that has failed for several. An honest sender's messages fail so only if they were damaged.
 */
import { PolicyError } from "../../../errors.js";
import type { Identity } from "../../../keys/key.js";

/** So many messages of one run may fail to open with a key; the next one is refused. */
const MAX_FAILURES = 5;

/** Counts the failures of each key in one run. */
export class Guesses {
  readonly #failures = new Map<string, number>();

  /** A message that `identity` was used for did not open: its header was not authentic. */
  failed({ name }: Pick<Identity, "name">): void {
    this.#failures.set(name, (this.#failures.get(name) ?? 0) + 1);
  }

  /** Before `identity` is used. @throws PolicyError `ERR_TOO_MANY_FAILURES` */
  requireFew({ name }: Pick<Identity, "name">): void {
    if ((this.#failures.get(name) ?? 0) < MAX_FAILURES) return;
    const message = `${MAX_FAILURES} messages did not open with this key, and no more are tried`;
    throw new PolicyError("ERR_TOO_MANY_FAILURES", message, {
      hint: "someone may be guessing at the key: see where they come from before opening the rest",
    });
  }
}
