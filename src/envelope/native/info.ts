/**
 * What anyone can see of a message. `inspect` shows it; it is used to find the key that opens it.
 */
import { fromHex, toHex } from "../../bytes.js";
import { AuthenticationError } from "../../errors.js";
import type { HpkeCurve } from "../../wrap/hpke.js";
import type { ExchangePublicKey, OaepHash } from "../../keys/key.js";
import { Reader, type ByteSource } from "../../stream.js";
import { readHeader, SUITE, VERSION, type ParsedHeader } from "./header.js";
import { stanzaTag, type Stanza } from "./recips.js";
import { verifyCore, type SenderInfo } from "./signature.js";

/** What anyone can read in a message. None of it is verified without the key. */
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
  /** What a signed message claims about its sender. */
  readonly sender?: ClaimedSender;
}

/** Claims, and whether the key they name signed them. It is not known here who owns that key. */
export interface ClaimedSender {
  /** SHA-256 of the sender's SPKI, hexadecimal. */
  readonly keyId: string;
  /** 16 bytes, hexadecimal. */
  readonly streamId: string;
  readonly serial: number;
  readonly createdMs: number;
  readonly expiresMs?: number;
  /** How many keys the sender addressed. */
  readonly addressees: number;
  /** The signature at the message's start. Opening checks the one over the body. */
  readonly signature: "holds" | "does not hold";
  /** True if the wrapped keys are the ones that the sender signed. */
  readonly recipientsIntact: boolean;
}

export interface RecipientInfo {
  readonly type: "rsa-oaep" | "hpke-p256" | "hpke-p384" | "hpke-p521" | "hpke-x25519" | "unknown";
  /** 8 bytes, hexadecimal. It means something only to those who have the key. */
  readonly tag: string;
  readonly oaep?: OaepHash;
  /** What the holder's token will be asked to do. */
  readonly operation: string;
}

/**
 * Reads the header of a message, and no byte of its body. Needs no key.
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

/** True if a stanza of the message was made for this key. Needs no private key. */
export function matchesRecipient(info: MessageInfo, publicKey: ExchangePublicKey): boolean {
  return recipientsFor(info, publicKey).length > 0;
}

/** The stanzas of the message that were made for this key. */
export function recipientsFor(info: MessageInfo, publicKey: ExchangePublicKey): RecipientInfo[] {
  const tag = toHex(stanzaTag(fromHex(info.messageId), publicKey));
  const curve = publicKey.type === "ec" ? publicKey.curve : "X25519";
  const type = publicKey.type === "rsa" ? "rsa-oaep" : hpkeType(curve);
  return info.recipients.filter((one) => one.tag === tag && one.type === type);
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
    ...claimedSender(header),
  };
}

function claimedSender(header: ParsedHeader): { sender?: ClaimedSender } {
  const { claims } = header.core;
  if (claims === undefined) return {};
  const verified = holdingSender(header);
  return {
    sender: {
      keyId: toHex(claims.senderKeyId),
      streamId: toHex(claims.streamId),
      serial: claims.serial,
      createdMs: claims.createdMs,
      ...(claims.expiresMs === undefined ? {} : { expiresMs: claims.expiresMs }),
      addressees: claims.addressees.length,
      signature: verified === undefined ? "does not hold" : "holds",
      recipientsIntact: verified?.recipientsIntact ?? false,
    },
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

function recipientInfo(stanza: Stanza): RecipientInfo {
  const tag = toHex(stanza.tag);
  switch (stanza.type) {
    case "rsa-oaep": {
      const operation = `C_UnwrapKey or C_Decrypt, RSA-OAEP ${stanza.hash}, RSA-${stanza.ciphertext.length * 8}`;
      return { type: "rsa-oaep", tag, oaep: stanza.hash, operation };
    }
    case "hpke":
      return {
        type: hpkeType(stanza.curve),
        tag,
        operation: `C_DeriveKey, ECDH on ${stanza.curve}`,
      };
    case "unknown":
      return { type: "unknown", tag, operation: `stanza type ${stanza.number} is not known` };
  }
}

function hpkeType(curve: HpkeCurve): RecipientInfo["type"] {
  return `hpke-${curve.replace("-", "").toLowerCase()}` as RecipientInfo["type"];
}
