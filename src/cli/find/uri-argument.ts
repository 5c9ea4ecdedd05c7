/** `pkcs11:` URIs on the command line: a malformed one is a fault of the command line. */
import { defined } from "../../defined.js";
import { FormatError, UsageError } from "../../errors.js";
import { parseUri, type Pkcs11Uri } from "../../token/uri.js";

/**
 * Parses a URI that was given as an option's value or as an operand.
 *
 * @throws UsageError with the codes of `parseUri`
 */
export function uriArgument(text: string): Pkcs11Uri {
  try {
    return parseUri(text);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const { code, message, hint } = error;
    throw new UsageError(code, message, { cause: error, ...defined({ hint }) });
  }
}
