/**
 * CMS (RFC 5652), as an envelope: what `openssl cms`, Outlook, BouncyCastle and other mail and
 * enterprise software write and read. The rest of its code is loaded when it is first needed.
 */
import { fromHex } from "../../bytes.js";
import type { Reader } from "../../stream.js";
import type { Envelope } from "../envelope.js";

/** OBJECT IDENTIFIERs of content types begin so: PKCS#7's, with 9 bytes, and S/MIME's, with 11. */
const TYPES = ["06092a864886f70d0107", "060b2a864886f70d0109"].map(fromHex);

export const cms: Envelope = {
  name: "cms",
  armorLabel: "CMS",
  otherArmorLabels: ["PKCS7", "PKCS #7 SIGNED DATA"],
  // No more than other formats want to see: enough of the type to tell it from keys' files.
  startBytes: 8,
  detect(start) {
    const [tag, length = 0, ...rest] = start;
    const type = length > 0x80 ? rest.slice(length & 0x7f) : rest;
    return (
      tag === 0x30 &&
      type.length > 0 &&
      TYPES.some((one) => type.every((byte, i) => byte === one[i]))
    );
  },
  detectAhead: async (header) =>
    (await mayBeMail(header)) && (await import("./mail-message.js")).isMessageInMail(header),
  inspect: async (header) => (await messages()).inspect(header),
  beginSealing: async (options) => (await import("./write-enveloped.js")).beginSealing(options),
  beginOpening: async (sealed, receiver) => (await messages()).beginOpening(sealed, receiver),
  rewrap: async (header, receiver, options) =>
    (await import("./cms-rewrap.js")).rewrap(header, receiver, options),
  verifySender: async (sealed) => (await messages()).verifySender(sealed),
};

/** True if the bytes at hand can begin a header field; its name is short (RFC 5322 §2.2). */
async function mayBeMail(header: Reader): Promise<boolean> {
  for (;;) {
    const start = header.atHand(MAX_FIELD_NAME_BYTES);
    const end = start.findIndex((byte) => byte <= 0x20 || byte >= 0x7f || byte === COLON);
    if (end >= 0) return end > 0 && start[end] === COLON;
    if (start.length === MAX_FIELD_NAME_BYTES) return false;
    if ((await header.peek(start.length + 1)).length === start.length) return false;
  }
}

const MAX_FIELD_NAME_BYTES = 64;
const COLON = 0x3a;

function messages(): Promise<typeof import("./cms-messages.js")> {
  return import("./cms-messages.js");
}
