/**
 * CMS (RFC 5652), as an envelope: what `openssl cms`, Outlook, BouncyCastle and other mail and
 * enterprise software write and read. The rest of its code is loaded when it is first needed.
 */
import { fromHex } from "../../bytes.js";
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
  inspect: async (header) => (await messages()).inspect(header),
  beginSealing: async (options) => (await import("./write-enveloped.js")).beginSealing(options),
  beginOpening: async (sealed, receiver) => (await messages()).beginOpening(sealed, receiver),
  verifySender: async (sealed) => (await messages()).verifySender(sealed),
};

function messages(): Promise<typeof import("./cms-messages.js")> {
  return import("./cms-messages.js");
}
