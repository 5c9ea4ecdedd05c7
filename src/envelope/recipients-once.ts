/** The recipients of one message, whatever its format. */
import { defined } from "../defined.js";
import { PolicyError, UsageError } from "../errors.js";
import type { Recipient } from "../keys/key.js";

/**
 * Each recipient's key once, in their order.
 *
 * @param most - as many as the format has room for
 * @param message - what it calls a message, as "an age file"
 * @throws UsageError `ERR_NO_RECIPIENTS`; PolicyError `ERR_TOO_MANY_RECIPIENTS`
 */
export function recipientsOnce(
  recipients: readonly Recipient[],
  most: number,
  message: string,
): Recipient[] {
  const byKey = new Map<string, Recipient>();
  for (const recipient of recipients) {
    const id = recipient.publicKey.fingerprint.join();
    // Of several entries for one key, all that they say of it; the first counts.
    byKey.set(id, { ...recipient, ...defined(byKey.get(id) ?? {}) });
  }
  const unique = [...byKey.values()];
  if (unique.length === 0) {
    throw new UsageError("ERR_NO_RECIPIENTS", "a message needs at least one recipient");
  }
  if (unique.length > most) {
    throw new PolicyError(
      "ERR_TOO_MANY_RECIPIENTS",
      `${unique.length} recipients; ${message} has at most ${most}`,
    );
  }
  return unique;
}
