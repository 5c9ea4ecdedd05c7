/** Who signed a CMS message, as policies, the ledger and the audit log know senders. */
import { createHash } from "node:crypto";
import { ascii, concat, toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import type { SenderInfo } from "../envelope.js";
import type { SignedParts } from "./signed-data.js";

/**
 * The first of the signers; every signature holds. Each message is the only one of a stream of its
 * own, so that a ledger accepts each signature once.
 */
export function cmsSender({ signers, certificates, crls, ocsp }: SignedParts): SenderInfo {
  const [signer] = signers;
  if (signer === undefined) throw new TypeError("nobody signed");
  const { publicKey, algorithm, attributesHash, certificate, signingTimeMs } = signer;
  return {
    publicKey,
    keyId: toHex(publicKey.fingerprint),
    algorithm,
    messageId: toHex(attributesHash.subarray(0, ID_BYTES)),
    streamId: toHex(sha256(concat(STREAM_LABEL, attributesHash)).subarray(0, ID_BYTES)),
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
const STREAM_LABEL = ascii("p11seal cms");
