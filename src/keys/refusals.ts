/** Refusals that several key formats share. */
import { FormatError } from "../errors.js";

/** The error for a private key given as a recipient; `what` names its form. */
export function privateKeyAsRecipient(what: string): FormatError {
  return new FormatError(
    "ERR_PRIVATE_KEY_AS_RECIPIENT",
    `${what} is a private key, not a recipient`,
    { hint: "use its public key instead, and never give the private key to anyone" },
  );
}
