/**
 * RecipientInfos as they are written (RFC 5652 §6.2): key transport for RSA (RFC 3560), key
 * agreement for keys on curves (RFC 5753, RFC 8418). One for each recipient, who is named by the
 * issuer and serial number of a certificate, or by a key identifier.
 */
import { createHash } from "node:crypto";
import { derAlgorithm, DER_NULL } from "../../asn1/algorithm-identifier.js";
import { der, DerReader, TAG } from "../../asn1/der.js";
import { equal } from "../../bytes.js";
import { PolicyError, UnsupportedError, UsageError } from "../../errors.js";
import type {
  EcPublicKey,
  ExchangePublicKey,
  OaepHash,
  Recipient,
  RsaPublicKey,
  X25519PublicKey,
} from "../../keys/key.js";
import { keyInSpki } from "../../keys/public-key.js";
import { requireExchange } from "../../keys/recipient-strength.js";
import type { Secret } from "../../secret.js";
import { agreeWith } from "../../wrap/hpke-parts.js";
import { aesKeyWrap, deriveKek } from "../../wrap/key-agreement.js";
import { oaepEncrypt } from "../../wrap/rsa-oaep.js";
import { parseX509, type Certificate } from "../../x509/certificate.js";
import type { SealOptions } from "../seal-options.js";
import { recipientsOnce } from "../recipients-once.js";
import {
  AES_256_WRAP_OID,
  AGREEMENT_SCHEMES,
  EC_PUBLIC_KEY_OID,
  HASH_OIDS,
  RSA_OIDS,
  X25519_OID,
} from "./cms-oids.js";

/** A recipient as a message will name it. */
export interface CmsAddressee {
  readonly publicKey: Exclude<ExchangePublicKey, { type: "hybrid" }>;
  readonly name: CmsRecipientName;
  /** For RSA: the hash of OAEP. */
  readonly oaep: OaepHash;
}

export type CmsRecipientName =
  | { readonly kind: "issuer and serial"; readonly certificate: Certificate }
  | { readonly kind: "key identifier"; readonly keyId: Uint8Array };

/** More would make a header that readers refuse. */
export const MAX_RECIPIENTS = 1024;

/**
 * Each recipient once, in their order.
 *
 * @throws UsageError `ERR_NO_RECIPIENTS`, `ERR_CERTIFICATE_KEY`: a certificate of another key;
 *   PolicyError `ERR_TOO_MANY_RECIPIENTS`, `ERR_WEAK_KEY`, `ERR_ROCA`; UnsupportedError
 *   `ERR_KEY_TYPE`, `ERR_KEY_SIZE`; FormatError `ERR_CERTIFICATE`
 */
export function cmsAddressees({ recipients, oaep, cms = {} }: SealOptions): CmsAddressee[] {
  const isWindows = cms.profile === "windows";
  return recipientsOnce(recipients, MAX_RECIPIENTS, "a CMS message").map((recipient) => {
    const publicKey = requireExchange(recipient.publicKey);
    if (publicKey.type === "hybrid") {
      throw new UnsupportedError("ERR_KEY_TYPE", "CMS messages can't be sealed to hybrid keys", {
        hint: "seal in p11seal's own format, or to a key of RSA or on a curve",
      });
    }
    if (isWindows && publicKey.type !== "rsa") {
      throw new PolicyError(
        "ERR_KEY_TYPE",
        `the windows profile is for RSA keys, not for ${keyKind(publicKey)}`,
        { hint: ".NET can't open messages for keys on curves; seal without --profile" },
      );
    }
    return {
      publicKey,
      name: nameOf(recipient, cms.byKeyId ?? false),
      oaep: oaep ?? recipient.oaep ?? (isWindows ? "sha1" : "sha256"),
    };
  });
}

function keyKind(publicKey: EcPublicKey | X25519PublicKey): string {
  return publicKey.type === "ec" ? publicKey.curve : "X25519";
}

function nameOf({ publicKey, certificate: bytes }: Recipient, byKeyId: boolean): CmsRecipientName {
  if (bytes === undefined) return { kind: "key identifier", keyId: defaultKeyId(publicKey.spki) };
  const certificate = parseX509(bytes);
  if (!equal(keyInSpki(certificate.spki).publicKey.spki, publicKey.spki)) {
    throw new UsageError("ERR_CERTIFICATE_KEY", "a recipient's certificate is of another key");
  }
  if (!byKeyId) return { kind: "issuer and serial", certificate };
  const keyId = certificate.subjectKeyId ?? defaultKeyId(certificate.spki);
  return { kind: "key identifier", keyId };
}

/**
 * RFC 5280 §4.2.1.2, method 1: what most certificates have, as a guess at one that is not here.
 */
function defaultKeyId(spki: Uint8Array): Uint8Array {
  const fields = new DerReader(spki, "public key").sequence();
  fields.skip();
  return new Uint8Array(createHash("sha1").update(fields.bitString()).digest());
}

// ── The content key for one recipient ──

/** RecipientInfo, DER. */
export function recipientInfo(addressee: CmsAddressee, contentKey: Secret): Uint8Array {
  const { publicKey } = addressee;
  return publicKey.type === "rsa"
    ? keyTransport(publicKey, addressee, contentKey)
    : keyAgreement(publicKey, addressee, contentKey);
}

/** KeyTransRecipientInfo (RFC 5652 §6.2.1). */
function keyTransport(
  publicKey: RsaPublicKey,
  { name, oaep }: CmsAddressee,
  contentKey: Secret,
): Uint8Array {
  const isByIssuer = name.kind === "issuer and serial";
  return der(
    TAG.sequence,
    version(isByIssuer ? 0 : 2),
    isByIssuer ? issuerAndSerial(name.certificate) : der(0x80, name.keyId),
    oaepAlgorithm(oaep),
    der(TAG.octetString, oaepEncrypt(publicKey.object, contentKey.expose(), { hash: oaep })),
  );
}

/**
 * RSAES-OAEP-params (RFC 4055 §4.1). The hash's own parameters are NULL, which some readers insist
 * on; SHA-1 is the default, and defaults are left out in DER.
 */
function oaepAlgorithm(hash: OaepHash): Uint8Array {
  const hashAlgorithm = derAlgorithm({ oid: HASH_OIDS[hash], parameters: DER_NULL });
  const mgf = derAlgorithm({ oid: RSA_OIDS.mgf1, parameters: hashAlgorithm });
  const fields = hash === "sha1" ? [] : [der(0xa0, hashAlgorithm), der(0xa1, mgf)];
  return derAlgorithm({ oid: RSA_OIDS.oaep, parameters: der(TAG.sequence, ...fields) });
}

/** KeyAgreeRecipientInfo (RFC 5652 §6.2.2) with a key pair of its own, for one recipient. */
function keyAgreement(
  publicKey: EcPublicKey | X25519PublicKey,
  { name }: CmsAddressee,
  contentKey: Secret,
): Uint8Array {
  const curve = publicKey.type === "ec" ? publicKey.curve : "X25519";
  const { oid, derivation } = AGREEMENT_SCHEMES[curve];
  const wrapAlgorithm = derAlgorithm({ oid: AES_256_WRAP_OID });
  const { enc, dh } = agreeWith(publicKey);
  const kek = deriveKek(dh, derivation, { wrapAlgorithm, kekBytes: 32 });
  dh.fill(0);
  const originatorKey = der(
    0xa1,
    derAlgorithm({ oid: publicKey.type === "ec" ? EC_PUBLIC_KEY_OID : X25519_OID }),
    der(TAG.bitString, Uint8Array.of(0), enc),
  );
  const recipient =
    name.kind === "issuer and serial"
      ? issuerAndSerial(name.certificate)
      : der(0xa0, der(TAG.octetString, name.keyId));
  const wrapped = der(TAG.octetString, aesKeyWrap(kek, contentKey.expose()));
  return der(
    0xa1,
    version(3),
    der(0xa0, originatorKey),
    derAlgorithm({ oid, parameters: wrapAlgorithm }),
    der(TAG.sequence, der(TAG.sequence, recipient, wrapped)),
  );
}

function issuerAndSerial({ issuer, serial }: Certificate): Uint8Array {
  return der(TAG.sequence, issuer.der, der(TAG.integer, serial));
}

/** CMSVersion. */
export function version(number: number): Uint8Array {
  return der(TAG.integer, Uint8Array.of(number));
}
