/**
 * CMS (RFC 5652), as an envelope: what `openssl cms`, Outlook, BouncyCastle and other mail and
 * enterprise software write and read. The rest of its code is loaded when it is first needed.
 */
import { fromHex } from "../../bytes.js";
import { UsageError } from "../../errors.js";
import type { Envelope } from "../envelope.js";

/** The first 10 bytes of the content types of PKCS#7, and of S/MIME's. */
const TYPES = ["06092a864886f70d0107", "060b2a864886f70d0109100100"].map((hex) =>
  fromHex(hex).subarray(0, 10),
);

export const cms: Envelope = {
  name: "cms",
  armorLabel: "CMS",
  otherArmorLabels: ["PKCS7", "PKCS #7 SIGNED DATA"],
  // A SEQUENCE with a length of up to 9 bytes, and the type.
  startBytes: 24,
  detect(start) {
    if (start[0] !== 0x30) return false;
    const first = start[1] ?? 0;
    const at = 2 + (first > 0x80 ? first & 0x7f : 0);
    return TYPES.some((type) => type.every((byte, i) => start[at + i] === byte));
  },
  inspect: async (header) => (await messages()).inspect(header),
  beginSealing: () =>
    Promise.reject(
      new UsageError("ERR_FORMAT_OPTION", "messages in CMS are opened, and not yet sealed"),
    ),
  beginOpening: async (sealed, receiver) => (await messages()).beginOpening(sealed, receiver),
  verifySender: async (sealed) => (await messages()).verifySender(sealed),
};

function messages(): Promise<typeof import("./cms-messages.js")> {
  return import("./cms-messages.js");
}
