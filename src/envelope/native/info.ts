/**
 * What anyone can see in a message's header. `inspect` shows it; it tells which key opens the
 * message.
 */
import { FLOE_HEADER_BYTES, floeSizes } from "../../body/floe.js";
import { layoutOf } from "../../body/segments.js";
import { toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import { AuthenticationError, PolicyError } from "../../errors.js";
import type { ExchangePublicKey, MlKemPublicKey, OaepHash } from "../../keys/key.js";
import { HYBRID_PARTS } from "../../keys/public-key.js";
import type {
  ClaimedSender,
  MessageInfo,
  PassedOn,
  RecipientInfo,
  SenderInfo,
} from "../message-info.js";
import { isHybrid } from "../../wrap/hpke.js";
import { FORMAT, SUITE, VERSION, type ParsedHeader } from "./header.js";
import type { Stanza } from "./recips.js";
import { heldRecord, passedOnBy } from "./rewrap-record.js";
import { stated, TRAILER_BYTES, verifyCore } from "./signature.js";
import { stanzasFor } from "./wrap.js";

/** Nothing of it is verified without the key, but for the sender's signature over part of it. */
export function messageInfo(header: ParsedHeader): MessageInfo {
  const { messageId } = header.core;
  const signed = header.signature !== undefined;
  const segmentBytes = 2 ** header.segLog2;
  const record = shownRecord(header);
  return {
    format: FORMAT,
    version: VERSION,
    suite: SUITE,
    segmentBytes,
    messageId: toHex(messageId),
    signed,
    headerBytes: header.transcript.length + header.mac.length,
    recipients: header.stanzas.map((stanza) => new StanzaInfo(stanza, messageId)),
    ...defined({ sender: claimedSender(header, record.passedOn) }),
    ...record,
    plaintextBytes(bodyBytes) {
      const sealedBytes = bodyBytes - FLOE_HEADER_BYTES - (signed ? TRAILER_BYTES : 0);
      return layoutOf(sealedBytes, floeSizes(segmentBytes))?.plaintextBytes;
    },
  };
}

/** A record that does not hold is shown as such: only opening refuses it. */
function shownRecord(header: ParsedHeader): Pick<MessageInfo, "passedOn" | "recordFault"> {
  try {
    const record = heldRecord(header);
    return record === undefined ? {} : { passedOn: passedOnBy(header, record) };
  } catch (error) {
    if (error instanceof PolicyError) return { recordFault: error.message };
    throw error;
  }
}

function claimedSender(
  header: ParsedHeader,
  passedOn: PassedOn | undefined,
): ClaimedSender | undefined {
  const { claims } = header.core;
  if (claims === undefined) return undefined;
  const verified = holdingSender(header);
  return {
    keyId: toHex(claims.senderKeyId),
    ...stated(claims),
    ...defined({ passedOn: verified?.recipientsIntact === false ? passedOn : undefined }),
    addressees: claims.addressees.length,
    signature: verified === undefined ? "does not hold" : "holds",
    recipientsIntact: verified?.recipientsIntact ?? false,
  };
}

function holdingSender(header: ParsedHeader): SenderInfo | undefined {
  try {
    return verifyCore(header);
  } catch (error) {
    if (error instanceof AuthenticationError) return undefined;
    throw error;
  }
}

/** A stanza, as others see it. */
class StanzaInfo implements RecipientInfo {
  readonly type: string;
  readonly tag: string;
  readonly oaep?: OaepHash;
  readonly rsaBits?: number;
  readonly operation: string;
  readonly #stanza: Stanza;
  readonly #messageId: Uint8Array;

  constructor(stanza: Stanza, messageId: Uint8Array) {
    this.type = typeOf(stanza);
    this.tag = toHex(stanza.tag);
    if (stanza.type === "rsa-oaep") {
      this.oaep = stanza.hash;
      this.rsaBits = stanza.ciphertext.length * 8;
    }
    this.operation = operationOf(stanza);
    this.#stanza = stanza;
    this.#messageId = messageId;
  }

  matches(publicKey: ExchangePublicKey | MlKemPublicKey): boolean {
    if (publicKey.type === "ml-kem") return false;
    return stanzasFor(publicKey, this.#messageId, [this.#stanza]).length > 0;
  }
}

/**
 * `rsa-oaep`, `hpke-p256`, `hpke-p384`, `hpke-p521`, `hpke-x25519`, `hpke-mlkem768-p256`,
 * `hpke-mlkem1024-p384` or `unknown`.
 */
function typeOf(stanza: Stanza): string {
  if (stanza.type !== "hpke") return stanza.type;
  const { kem } = stanza;
  return isHybrid(kem) ? `hpke-${kem}` : `hpke-${kem.replace("-", "").toLowerCase()}`;
}

function operationOf(stanza: Stanza): string {
  switch (stanza.type) {
    case "rsa-oaep": {
      const bits = stanza.ciphertext.length * 8;
      return `C_UnwrapKey or C_Decrypt, RSA-OAEP ${stanza.hash}, RSA-${bits}`;
    }
    case "hpke": {
      const { kem } = stanza;
      return isHybrid(kem)
        ? `C_DeriveKey, ECDH on ${HYBRID_PARTS[kem].curve}; ML-KEM with the key's seed file`
        : `C_DeriveKey, ECDH on ${kem}`;
    }
    case "unknown":
      return `stanza type ${stanza.number} is not known`;
  }
}
