/**
 * CORE before it is signed, as an agent gets it from a program: held to what a reader will demand
 * of it (docs/format.md §4 and §5), so that nothing else is ever signed.
 */
import { equal, toHex } from "../../bytes.js";
import { wholeHeader } from "../detached-header.js";
import type { CoreToSign } from "../envelope.js";
import { unsignable } from "../unsignable.js";
import { readSignedPart } from "./header.js";
import { addresseeTag, isOneTimeKey, signCore } from "./signature.js";

/** As `Envelope.coreToSign`. */
export async function coreToSign(bytes: Uint8Array): Promise<CoreToSign> {
  const { core, signedPart } = await wholeHeader(bytes, readSignedPart);
  const { claims, messageId, others } = core;
  if (claims === undefined) throw unsignable("it is that of a message without a sender");
  // What a later version's claims mean is not known here.
  if (others !== undefined) throw unsignable("it says things that this version does not know");
  if (!isOneTimeKey(claims.oneTimeKey)) throw unsignable("anybody could sign its body");
  const { senderKeyId, createdMs, addressees } = claims;
  if (new Set(addressees.map(toHex)).size < addressees.length) {
    throw unsignable("it addresses one key twice");
  }
  const isFrom: CoreToSign["isFrom"] = ({ fingerprint }) => equal(fingerprint, senderKeyId);
  return {
    ...{ messageId: toHex(messageId), createdMs, addressees: addressees.length, isFrom },
    addresses: (key) => {
      const tag = addresseeTag(messageId, key);
      return addressees.some((one) => equal(one, tag));
    },
    sign: async (key) => {
      const { publicKey } = key;
      if (!isFrom(publicKey)) throw unsignable("it names another sender");
      return (await signCore({ publicKey, key }, signedPart)).signature;
    },
  };
}
