/** What anyone can see in a CMS message's header. */
import { toHex } from "../../bytes.js";
import { ML_KEM_OIDS } from "../../keys/ml-kem.js";
import type { ExchangePublicKey, MlKemPublicKey, OaepHash } from "../../keys/key.js";
import { readableCertificates } from "../../x509/certificate-file.js";
import type { MessageInfo, RecipientInfo, SenderInfo } from "../message-info.js";
import type { EnvelopedHeader } from "./enveloped.js";
import type { RecipientId, RecipientInfoValue } from "./recipient-infos.js";
import { namesKey } from "./recipient-match.js";

/** The format's name. */
export const CMS = "cms";

/** A message that is only signed. */
export function signedInfo(sender: SenderInfo): MessageInfo {
  const { messageId } = sender;
  return {
    ...{ format: CMS, version: 1, messageId, signed: true, headerBytes: 0, recipients: [] },
    plaintextBytes: () => undefined,
  };
}

/**
 * Nothing of it is verified without the key.
 *
 * @param signed - a signature lies outside
 */
export function envelopedInfo(header: EnvelopedHeader, signed: boolean): MessageInfo {
  return {
    format: CMS,
    version: header.version,
    cipher: header.cipher.name,
    authenticated: header.isAuthenticated,
    messageId: toHex(header.digest.subarray(0, 16)),
    signed,
    headerBytes: header.headerBytes,
    recipients: header.recipients.map((one) => new CmsRecipientInfo(one)),
    plaintextBytes: () => undefined,
  };
}

/** A recipient, as others see it. */
class CmsRecipientInfo implements RecipientInfo {
  readonly type: string;
  readonly tag?: string;
  readonly oaep?: OaepHash;
  readonly oaepLabel?: Uint8Array;
  readonly rsaBits?: number;
  readonly operation: string;
  readonly #value: RecipientInfoValue;

  constructor(value: RecipientInfoValue) {
    this.type = typeOf(value);
    if (value.type !== "unknown") this.tag = tagOf(value.rid);
    if (value.type === "rsa-oaep" && value.parameters !== undefined) {
      const { hash, label } = value.parameters;
      this.oaep = hash;
      if (label !== undefined && label.length > 0) this.oaepLabel = label;
    }
    if (value.type === "rsa-oaep" || value.type === "rsa-pkcs1") {
      this.rsaBits = value.encryptedKey.length * 8;
    }
    this.operation = operationOf(value);
    this.#value = value;
  }

  matches(key: ExchangePublicKey | MlKemPublicKey, certificates?: readonly Uint8Array[]): boolean {
    const value = this.#value;
    if (value.type === "unknown" || !fitsRecipient(value, key)) return false;
    return (
      certificates === undefined || namesKey(value.rid, key, readableCertificates(certificates))
    );
  }
}

/** Whether the key is of the kind that the recipient's was wrapped for. */
export function fitsRecipient(
  value: RecipientInfoValue,
  key: ExchangePublicKey | MlKemPublicKey,
): boolean {
  switch (value.type) {
    case "rsa-oaep":
    case "rsa-pkcs1":
      return key.type === "rsa" && Math.ceil(key.bits / 8) === value.encryptedKey.length;
    case "agreement":
      return (
        (key.type === "ec" || key.type === "x25519") && key.point.length === value.originator.length
      );
    case "kem":
      return key.type === "ml-kem" && ML_KEM_OIDS[key.set] === value.kem;
    case "unknown":
      return false;
  }
}

function typeOf(value: RecipientInfoValue): string {
  switch (value.type) {
    case "agreement":
      return curveOf(value.originator) === "X25519" ? "x25519" : "ecdh";
    case "kem":
      return "ml-kem";
    case "rsa-oaep":
    case "rsa-pkcs1":
    case "unknown":
      return value.type;
  }
}

/** The key identifier, or the certificate's serial number. */
function tagOf(rid: RecipientId): string {
  return toHex(rid.type === "subjectKeyId" ? rid.id : rid.serial);
}

function operationOf(value: RecipientInfoValue): string {
  switch (value.type) {
    case "rsa-oaep": {
      const { hash, mgfHash = hash, label = [] } = value.parameters ?? { hash: "sha1" as const };
      const mgf = mgfHash === hash ? "" : `, MGF1 ${mgfHash}`;
      const labelled = label.length > 0 ? " with a label" : "";
      const bits = value.encryptedKey.length * 8;
      return `C_UnwrapKey or C_Decrypt, RSA-OAEP ${hash}${mgf}${labelled}, RSA-${bits}`;
    }
    case "rsa-pkcs1":
      return `C_UnwrapKey or C_Decrypt, RSA PKCS#1 v1.5, RSA-${value.encryptedKey.length * 8}`;
    case "agreement":
      return `C_DeriveKey, ECDH on ${curveOf(value.originator) ?? "an unknown curve"}`;
    case "kem":
      return "decapsulation, ML-KEM";
    case "unknown":
      return `${value.what}, which is not known`;
  }
}

/** The curve that a point of this length is on. */
function curveOf({ length }: Uint8Array): string | undefined {
  return { 32: "X25519", 65: "P-256", 97: "P-384", 133: "P-521" }[length];
}
