/** What anyone can see in an age file's header. */
import { createHash } from "node:crypto";
import { CHUNK_SIZES } from "../../body/chunks.js";
import { layoutOf } from "../../body/segments.js";
import { toHex } from "../../bytes.js";
import { AGE_SSH_OAEP } from "../../keys/formats/ssh.js";
import type { ExchangePublicKey, MlKemPublicKey } from "../../keys/key.js";
import type { MessageInfo, RecipientInfo } from "../message-info.js";
import { BODY_NONCE_BYTES } from "./age-file-key.js";
import { AGE, encodeAgeHeader, type RawHeader } from "./age-header.js";
import { wrappedBy } from "./age-wrap.js";
import type { Stanza } from "./stanzas.js";

/** Nothing of it is verified without the key. */
export function ageInfo(header: RawHeader, stanzas: readonly Stanza[]): MessageInfo {
  return {
    format: AGE,
    version: 1,
    segmentBytes: CHUNK_SIZES.segmentBytes,
    messageId: messageIdOf(encodeAgeHeader(header.transcript, header.mac)),
    signed: false,
    headerBytes: header.bytes,
    recipients: stanzas.map((stanza) => new AgeRecipientInfo(stanza)),
    plaintextBytes: (bodyBytes) =>
      layoutOf(bodyBytes - BODY_NONCE_BYTES, CHUNK_SIZES)?.plaintextBytes,
  };
}

/** 16 bytes, hexadecimal: age gives files no name, so it is made from the header. */
export function messageIdOf(header: Uint8Array): string {
  return toHex(createHash("sha256").update(header).digest().subarray(0, 16));
}

/** A stanza, as others see it. */
class AgeRecipientInfo implements RecipientInfo {
  readonly type: string;
  readonly tag?: string;
  readonly oaep?: "sha256";
  readonly oaepLabel?: Uint8Array;
  readonly rsaBits?: number;
  readonly passphrase?: true;
  readonly operation: string;
  readonly #stanza: Stanza;

  constructor(stanza: Stanza) {
    this.type = stanza.type;
    if ("tag" in stanza) this.tag = toHex(stanza.tag);
    if (stanza.type === "ssh-rsa") {
      this.oaep = AGE_SSH_OAEP.hash;
      this.oaepLabel = AGE_SSH_OAEP.label;
      this.rsaBits = stanza.body.length * 8;
    }
    if (stanza.type === "scrypt") this.passphrase = true;
    this.operation = operationOf(stanza);
    this.#stanza = stanza;
  }

  matches(publicKey: ExchangePublicKey | MlKemPublicKey): boolean {
    return wrappedBy(this.#stanza, publicKey) !== undefined;
  }
}

function operationOf(stanza: Stanza): string {
  switch (stanza.type) {
    case "X25519":
      return "C_DeriveKey, ECDH on X25519";
    case "p256tag":
    case "piv-p256":
      return "C_DeriveKey, ECDH on P-256";
    case "mlkem768p256tag":
      return "C_DeriveKey, ECDH on P-256, and ML-KEM-768";
    case "mlkem768x25519":
      return "ECDH on X25519, and ML-KEM-768";
    case "ssh-rsa":
      return `C_UnwrapKey or C_Decrypt, RSA-OAEP sha256 with a label, RSA-${stanza.body.length * 8}`;
    case "scrypt":
      return `none: a passphrase, scrypt with work factor 2^${stanza.logN}`;
    case "unknown":
      return `recipient type ${stanza.raw.type.slice(0, SHOWN)} is not known`;
  }
}

/** Characters of an unknown type's name that are shown. */
const SHOWN = 64;
