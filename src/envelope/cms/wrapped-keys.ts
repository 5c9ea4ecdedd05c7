/** From the recipients of a message to the wraps that `openByKey` opens (`wrap/opener.ts`). */
import { hkdfSync } from "node:crypto";
import { derAlgorithm, type AlgorithmIdentifier } from "../../asn1/algorithm-identifier.js";
import { der, derUnsigned, TAG } from "../../asn1/der.js";
import { toHex, u32 } from "../../bytes.js";
import { FormatError, PolicyError, UnsupportedError } from "../../errors.js";
import type { EcCurve, KnownPublicKey, MlKemPublicKey } from "../../keys/key.js";
import { ML_KEM_BYTES, ML_KEM_OIDS } from "../../keys/ml-kem.js";
import { canonicalSpki, validatePoint } from "../../keys/public-key.js";
import type { Secret } from "../../secret.js";
import {
  aesKeyUnwrap,
  deriveKek,
  desKeyUnwrap,
  type KekDerivation,
} from "../../wrap/key-agreement.js";
import type { WrappedKey, WrappedKeys } from "../../wrap/opener.js";
import { derivedSubstitute } from "../../wrap/rejection.js";
import type { Certificate } from "../../x509/certificate.js";
import type {
  KeyAgreement,
  KeyEncapsulation,
  KeyTransport,
  RecipientInfoValue,
} from "./recipient-infos.js";
import { namesKey } from "./recipient-match.js";

export interface WrapContext {
  readonly recipients: readonly RecipientInfoValue[];
  /** Of any keys. */
  readonly certificates: readonly Certificate[];
  /** Length of the content key. */
  readonly keyBytes: number;
  /** PKCS#1 v1.5 may be undone. */
  readonly allowsLegacy: boolean;
  /** 32 bytes that only this host knows. */
  readonly rejectionSecret: Secret;
}

/**
 * @throws FormatError `ERR_CMS`, PolicyError `ERR_LEGACY`, UnsupportedError `ERR_ALGORITHM`, each
 *   from `for` and `admit`, and so before a key is unlocked
 */
export function wrappedKeys(context: WrapContext): WrappedKeys {
  const { recipients, keyBytes, allowsLegacy, rejectionSecret } = context;
  const certificates = certificatesByKey(context.certificates);
  const wrapsFor = (key: KnownPublicKey): CmsWrap[] => {
    const own = certificates.get(toHex(key.spki)) ?? [];
    const all = recipients.flatMap((one) =>
      one.type !== "unknown" && namesKey(one.rid, key, own) ? wrapFor(one, key) : [],
    );
    if (allowsLegacy) return all;
    // Whoever can't undo the better wrap must not fall back to the other one unasked.
    const current = all.filter(({ legacy }) => legacy === undefined);
    return current.length > 0 ? current : all;
  };
  return {
    keyBytes,
    for: (key) => wrapsFor(key).map(({ wrap }) => wrap),
    admit(key) {
      const legacy = allowsLegacy ? undefined : wrapsFor(key)[0]?.legacy;
      if (legacy !== undefined) throw notAccepted(legacy);
    },
    substituteFor: ({ ciphertext }) =>
      derivedSubstitute(REJECTION_LABEL, ciphertext, rejectionSecret, keyBytes),
  };
}

const REJECTION_LABEL = "p11seal cms rejection";

/** Certificates by their keys' SPKI, hexadecimal. */
export function certificatesByKey(
  certificates: readonly Certificate[],
): Map<string, Certificate[]> {
  const byKey = new Map<string, Certificate[]>();
  for (const certificate of certificates) {
    const spki = toHex(canonicalSpki(certificate.spki));
    byKey.set(spki, [...(byKey.get(spki) ?? []), certificate]);
  }
  return byKey;
}

/** A wrap, and by what it is one for old messages only. */
interface CmsWrap {
  readonly wrap: WrappedKey;
  readonly legacy?: LegacyWrap | undefined;
}

type LegacyWrap = "RSA PKCS#1 v1.5" | "triple DES";

function wrapFor(
  recipient: Exclude<RecipientInfoValue, { type: "unknown" }>,
  key: KnownPublicKey,
): CmsWrap[] {
  switch (recipient.type) {
    case "rsa-oaep":
    case "rsa-pkcs1":
      return key.type === "rsa" ? [rsaWrap(recipient, Math.ceil(key.bits / 8))] : [];
    case "agreement":
      if (key.type === "ec") return [agreementWrap(recipient, key.curve)];
      return key.type === "x25519" ? [agreementWrap(recipient, "X25519")] : [];
    case "kem":
      return key.type === "ml-kem" ? [kemWrap(recipient, key)] : [];
  }
}

function rsaWrap({ type, parameters, encryptedKey }: KeyTransport, keyBytes: number): CmsWrap {
  if (encryptedKey.length !== keyBytes) {
    throw new FormatError(
      "ERR_CMS",
      `the CMS message's key for an RSA key of ${keyBytes} bytes has ${encryptedKey.length}`,
    );
  }
  if (type === "rsa-pkcs1" || parameters === undefined) {
    return { wrap: { type: "rsa-pkcs1", ciphertext: encryptedKey }, legacy: "RSA PKCS#1 v1.5" };
  }
  return { wrap: { type, parameters, ciphertext: encryptedKey } };
}

function agreementWrap(recipient: KeyAgreement, curve: EcCurve | "X25519"): CmsWrap {
  const { originator, scheme, wrap, ukm, encryptedKey } = recipient;
  const derivation = DERIVATIONS.get(scheme);
  const keyWrap = KEY_WRAPS.get(wrap.oid);
  if (derivation === undefined) throw unsupported("key agreement", scheme);
  if (keyWrap === undefined) throw unsupported("key wrap", wrap.oid);
  const { kekBytes, unwrap, legacy } = keyWrap;
  validatePoint(curve, originator);
  const purpose = { wrapAlgorithm: derAlgorithm(wrap), kekBytes, ukm };
  const open = (shared: Uint8Array): Uint8Array | null =>
    unwrap(deriveKek(shared, derivation, purpose), encryptedKey);
  return { wrap: { type: "agreement", curve, peer: originator, open }, legacy };
}

function kemWrap(recipient: KeyEncapsulation, { set }: MlKemPublicKey): CmsWrap {
  const { kem, ciphertext, kdf, kekBytes, ukm, wrap, encryptedKey } = recipient;
  const hash = KEM_KDFS.get(kdf.oid);
  const keyWrap = KEY_WRAPS.get(wrap.oid);
  if (ML_KEM_OIDS[set] !== kem) throw unsupported("the KEM", kem);
  if (hash === undefined) throw unsupported("key derivation", kdf.oid);
  if (keyWrap === undefined) throw unsupported("key wrap", wrap.oid);
  if (keyWrap.kekBytes !== kekBytes || ciphertext.length !== ML_KEM_BYTES[set].ciphertext) {
    throw new FormatError("ERR_CMS", "a recipient of the CMS message has lengths that don't fit");
  }
  // CMSORIforKEMOtherInfo (RFC 9629 §5).
  const info = der(
    TAG.sequence,
    derAlgorithm(wrap),
    derUnsigned(u32(kekBytes)),
    ...(ukm === undefined ? [] : [der(0xa0, der(TAG.octetString, ukm))]),
  );
  const open = (shared: Uint8Array): Uint8Array | null => {
    const kek = new Uint8Array(hkdfSync(hash, shared, NO_SALT, info, kekBytes));
    return keyWrap.unwrap(kek, encryptedKey);
  };
  return { wrap: { type: "kem", ciphertext, open }, legacy: keyWrap.legacy };
}

/** RFC 8619 §2. */
const KEM_KDFS: ReadonlyMap<string, "sha256" | "sha384" | "sha512"> = new Map([
  ["1.2.840.113549.1.9.16.3.28", "sha256"],
  ["1.2.840.113549.1.9.16.3.29", "sha384"],
  ["1.2.840.113549.1.9.16.3.30", "sha512"],
]);

const NO_SALT = new Uint8Array(0);

/**
 * By the scheme's object identifier (RFC 5753 §7.1.4, RFC 8418 §2). Standard and cofactor
 * Diffie-Hellman are the same here: the curves' cofactor is 1.
 */
const DERIVATIONS: ReadonlyMap<string, KekDerivation> = new Map([
  ["1.3.133.16.840.63.0.2", { kdf: "x963", hash: "sha1" }],
  ["1.3.133.16.840.63.0.3", { kdf: "x963", hash: "sha1" }],
  ["1.3.132.1.11.1", { kdf: "x963", hash: "sha256" }],
  ["1.3.132.1.11.2", { kdf: "x963", hash: "sha384" }],
  ["1.3.132.1.11.3", { kdf: "x963", hash: "sha512" }],
  ["1.3.132.1.14.1", { kdf: "x963", hash: "sha256" }],
  ["1.3.132.1.14.2", { kdf: "x963", hash: "sha384" }],
  ["1.3.132.1.14.3", { kdf: "x963", hash: "sha512" }],
  ["1.2.840.113549.1.9.16.3.19", { kdf: "hkdf", hash: "sha256" }],
  ["1.2.840.113549.1.9.16.3.20", { kdf: "hkdf", hash: "sha384" }],
  ["1.2.840.113549.1.9.16.3.21", { kdf: "hkdf", hash: "sha512" }],
]);

interface KeyWrap {
  /** Length of the key-encryption key. */
  readonly kekBytes: 16 | 24 | 32;
  readonly unwrap: (kek: Uint8Array, wrapped: Uint8Array) => Uint8Array | null;
  readonly legacy?: LegacyWrap;
}

/** AES Key Wrap (RFC 3565 §2.3.2), and that of triple DES (RFC 3370 §4.3.1). */
const KEY_WRAPS: ReadonlyMap<string, KeyWrap> = new Map([
  ["2.16.840.1.101.3.4.1.5", { kekBytes: 16, unwrap: aesKeyUnwrap }],
  ["2.16.840.1.101.3.4.1.25", { kekBytes: 24, unwrap: aesKeyUnwrap }],
  ["2.16.840.1.101.3.4.1.45", { kekBytes: 32, unwrap: aesKeyUnwrap }],
  ["1.2.840.113549.1.9.16.3.6", { kekBytes: 24, unwrap: desKeyUnwrap, legacy: "triple DES" }],
]);

function unsupported(what: string, oid: AlgorithmIdentifier["oid"]): UnsupportedError {
  return new UnsupportedError(
    "ERR_ALGORITHM",
    `the CMS message's key for this recipient comes by ${what} ${oid}, which is not supported`,
  );
}

function notAccepted(legacy: LegacyWrap): PolicyError {
  const better = {
    "RSA PKCS#1 v1.5":
      "have it sent with RSA-OAEP, or accept this one with --allow-legacy: whoever sends many of " +
      "these and sees what becomes of them can decrypt others",
    "triple DES": "have it sent with AES key wrap, or accept this one with --allow-legacy",
  };
  return new PolicyError(
    "ERR_LEGACY",
    `the CMS message's key is wrapped with ${legacy}, which is not accepted`,
    { hint: better[legacy] },
  );
}
