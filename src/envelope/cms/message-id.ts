/** What a CMS message is called here; CMS itself gives messages no names. */
import { createHash } from "node:crypto";
import { toHex } from "../../bytes.js";

/**
 * 16 bytes of a SHA-256, hexadecimal: of what is unlike in any two messages, made DER, so that a
 * message keeps its name however its lengths are written.
 */
export function cmsMessageId(recipientInfos: Uint8Array, contentEncryption: Uint8Array): string {
  const hash = createHash("sha256").update(recipientInfos).update(contentEncryption).digest();
  return toHex(hash.subarray(0, 16));
}
