/** Whether a mail is a CMS message (RFC 8551 §3). */
import { FormatError, UnsupportedError } from "../../errors.js";
import { mailAhead } from "../../mime/mail.js";
import type { Reader } from "../../stream.js";

/**
 * True for a mail that is encrypted or signed. Also for one that says so, and has something wrong
 * with it, so that this is told and not that it is no message. Consumes nothing.
 */
export async function isMessageInMail(reader: Reader): Promise<boolean> {
  try {
    return (await mailAhead(reader)).kind !== "other";
  } catch (error) {
    if (!(error instanceof FormatError) && !(error instanceof UnsupportedError)) throw error;
    const start = Buffer.from(reader.atHand(TELLING_BYTES)).toString("latin1");
    return /^Content-Type:[^\n]*\n?[^\n]*application\/(?:x-)?pkcs7-/im.test(start);
  }
}

const TELLING_BYTES = 4096;
