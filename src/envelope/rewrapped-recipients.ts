/** What re-wrapping asks of its recipients, whatever the format. */
import { equal } from "../bytes.js";
import { AuthenticationError, UsageError } from "../errors.js";
import type { ExchangePublicKey } from "../keys/key.js";

/** True for a key among the others. One that is removed and added gets a new wrapped key. */
export function isAmong(keys: readonly ExchangePublicKey[], { spki }: ExchangePublicKey): boolean {
  return keys.some((key) => equal(key.spki, spki));
}

/** The error for a header that an agent made, and that is not what it was asked for. */
export function notAsPlanned(): AuthenticationError {
  return new AuthenticationError(
    "ERR_NOT_AUTHENTIC",
    "the agent made another header than it was asked for",
    { hint: "nothing was changed; re-wrap it without the agent: --no-agent" },
  );
}

export function nobodyLeft(): UsageError {
  return new UsageError("ERR_NO_RECIPIENTS", "nobody could open the message any more", {
    hint: "name somebody to add; a message that nobody needs is deleted instead",
  });
}
