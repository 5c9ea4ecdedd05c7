import { AuthenticationError, type P11SealError } from "../../errors.js";

/**
 * The error for a header that has our magic and version but is malformed. It counts as not
 * authentic: p11seal never wrote it, so somebody, or a bad disk, altered it.
 */
export function malformed(detail: string): P11SealError {
  return new AuthenticationError("ERR_HEADER", `the message header is malformed: ${detail}`, {
    hint: "the message was altered or damaged on its way; ask for it again",
  });
}
