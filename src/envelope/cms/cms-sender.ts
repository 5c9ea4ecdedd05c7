/** Who signed a CMS message, as policies, the ledger and the audit log know senders. */
import { createHash } from "node:crypto";
import { ascii, concat, toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import type { SenderInfo } from "../message-info.js";
import type { Signer } from "./check-signer.js";
import type { SignedParts } from "./signed-data.js";

/**
 * The first of the signers, and the others beside it; every signature holds. Each signature is the
 * only one of a stream of its own, so that a ledger accepts each once.
 */
export function cmsSender(parts: SignedParts): SenderInfo {
  const [first, ...others] = parts.signers.map((signer) => senderInfo(signer, parts));
  if (first === undefined) throw new TypeError("nobody signed");
  return others.length === 0 ? first : { ...first, cosigners: others };
}

function senderInfo(signer: Signer, { certificates, crls, ocsp }: SignedParts): SenderInfo {
  const { publicKey, algorithm, attributesHash, certificate, signingTimeMs } = signer;
  // Signed in the same second, the attributes of two signers can be the same.
  const own = concat(attributesHash, publicKey.fingerprint);
  return {
    publicKey,
    keyId: toHex(publicKey.fingerprint),
    algorithm,
    messageId: toHex(sha256(concat(MESSAGE_LABEL, own)).subarray(0, ID_BYTES)),
    streamId: toHex(sha256(concat(STREAM_LABEL, own)).subarray(0, ID_BYTES)),
    serial: 0,
    ...defined({ createdMs: signingTimeMs }),
    recipientsIntact: true,
    certificates: {
      signer: certificate.der,
      others: certificates.map(({ der }) => der),
      crls,
      ocsp,
    },
  };
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

const ID_BYTES = 16;
const MESSAGE_LABEL = ascii("p11seal cms message");
const STREAM_LABEL = ascii("p11seal cms stream");
