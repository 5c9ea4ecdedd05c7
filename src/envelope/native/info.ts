/** What anyone can see in a message: shown by `inspect`, and used to find the key that opens it. */
import { fromHex, toHex } from "../../bytes.js";
import type { ExchangePublicKey, OaepHash } from "../../keys/key.js";
import { Reader, type ByteSource } from "../../stream.js";
import { readHeader, SUITE, VERSION, type ParsedHeader } from "./header.js";
import { stanzaTag, type Stanza } from "./recips.js";

/** What anyone can read in a message. Nothing of it is verified without the key. */
export interface MessageInfo {
  readonly version: number;
  readonly suite: number;
  /** Bytes of a sealed segment. */
  readonly segmentBytes: number;
  /** 16 bytes, hexadecimal. */
  readonly messageId: string;
  readonly signed: boolean;
  /** Bytes up to the body. */
  readonly headerBytes: number;
  readonly recipients: readonly RecipientInfo[];
}

export interface RecipientInfo {
  readonly type: "rsa-oaep" | "hpke-p256" | "hpke-p384" | "hpke-p521" | "hpke-x25519" | "unknown";
  /** 8 bytes, hexadecimal: means something to the holder of the key only. */
  readonly tag: string;
  readonly oaep?: OaepHash;
  /** What the holder's token will be asked to do. */
  readonly operation: string;
}

/**
 * Reads the header of a message, without any key, and not a byte of its body.
 *
 * @throws as `readHeader` does
 */
export async function inspectMessage(sealed: ByteSource): Promise<MessageInfo> {
  const reader = new Reader(sealed);
  try {
    return messageInfo(await readHeader(reader));
  } finally {
    await reader.close();
  }
}

/** True when a stanza of the message was made for this key. Needs no private key. */
export function matchesRecipient(info: MessageInfo, publicKey: ExchangePublicKey): boolean {
  const tag = toHex(stanzaTag(fromHex(info.messageId), publicKey));
  return info.recipients.some((recipient) => recipient.tag === tag);
}

export function messageInfo(header: ParsedHeader): MessageInfo {
  return {
    version: VERSION,
    suite: SUITE,
    segmentBytes: 2 ** header.segLog2,
    messageId: toHex(header.core.messageId),
    signed: header.signature !== undefined,
    headerBytes: header.transcript.length + header.mac.length,
    recipients: header.stanzas.map(recipientInfo),
  };
}

function recipientInfo(stanza: Stanza): RecipientInfo {
  const tag = toHex(stanza.tag);
  switch (stanza.type) {
    case "rsa-oaep": {
      const operation = `C_UnwrapKey or C_Decrypt, RSA-OAEP ${stanza.hash}, RSA-${stanza.ciphertext.length * 8}`;
      return { type: "rsa-oaep", tag, oaep: stanza.hash, operation };
    }
    case "hpke":
      return {
        type: `hpke-${stanza.curve.replace("-", "").toLowerCase()}` as RecipientInfo["type"],
        tag,
        operation: `C_DeriveKey, ECDH on ${stanza.curve}`,
      };
    case "unknown":
      return { type: "unknown", tag, operation: `stanza type ${stanza.number} is not known` };
  }
}
