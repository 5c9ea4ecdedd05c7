/** Messages in the formats of `test/envelope/toy.ts`. */
import { sealBody } from "../../src/body/body.js";
import { concat } from "../../src/bytes.js";
import type { Envelope } from "../../src/envelope/envelope.js";
import { collect, Reader } from "../../src/stream.js";
import { recipientOf } from "./identities.js";

/** Header and body of a message for the RSA-2048 TEST key. */
export async function sealedAs(
  envelope: Envelope,
  plaintext: Uint8Array,
): Promise<{ readonly header: Uint8Array; readonly body: Uint8Array; readonly whole: Uint8Array }> {
  const begun = await envelope.beginSealing({ recipients: [recipientOf("rsa2048")] });
  const body = await collect(sealBody(begun.body, new Reader(plaintext)));
  return { header: begun.header, body, whole: concat(begun.header, body) };
}
