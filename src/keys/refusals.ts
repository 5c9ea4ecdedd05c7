/** Refusals that several key formats share. */
import { FormatError } from "../errors.js";

/** Somebody gave a private key where a recipient belongs; `what` says in which form. */
export function privateKeyAsRecipient(what: string): FormatError {
  return new FormatError(
    "ERR_PRIVATE_KEY_AS_RECIPIENT",
    `${what} is a private key, not a recipient`,
    { hint: "give its public half, and keep the private key from whoever asked for this one" },
  );
}
