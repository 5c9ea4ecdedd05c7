/** Refusals that several key formats and holders of keys share. */
import { FormatError, PolicyError, UnsupportedError } from "../errors.js";

/** The error for a private key given as a recipient; `what` names its form. */
export function privateKeyAsRecipient(
  what: string,
  hint = "use its public key instead, and never give the private key to anyone",
): FormatError {
  return new FormatError(
    "ERR_PRIVATE_KEY_AS_RECIPIENT",
    `${what} is a private key, not a recipient`,
    { hint },
  );
}

/** The error for a signing key given as a recipient. */
export function signingKeyAsRecipient(reason: string): PolicyError {
  return new PolicyError("ERR_SIGNING_KEY_AS_RECIPIENT", reason, {
    hint: "seal to the owner's exchange key; if this key opens messages too: --allow-signing-key",
  });
}

/**
 * Runs a check of a key. Where it refuses, the refusal starts with `name`, as in `key.pem: …`.
 */
export function naming<T>(name: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    const kinds = [FormatError, PolicyError, UnsupportedError];
    throw kinds.some((kind) => error instanceof kind) ? (error as FormatError).at(name) : error;
  }
}
