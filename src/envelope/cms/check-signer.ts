/**
 * Whether one signature of a SignedData holds (RFC 5652 §5.6): over attributes that name this
 * content's digest, by the key of a certificate that the message names. Whether that certificate is
 * to be believed is for others to say.
 */
import { createHash } from "node:crypto";
import type { AlgorithmIdentifier } from "../../asn1/algorithm-identifier.js";
import { DerReader, TAG } from "../../asn1/der.js";
import { oidText } from "../../asn1/oid.js";
import { readTime } from "../../asn1/time.js";
import { equal, toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import { AuthenticationError, FormatError, PolicyError, UnsupportedError } from "../../errors.js";
import type { SigningPublicKey } from "../../keys/key.js";
import { keyInSpki } from "../../keys/public-key.js";
import { requireExchange } from "../../keys/recipient-strength.js";
import {
  digestName,
  schemeVerifies,
  signatureDigest,
  signatureScheme,
  type SignatureDigest,
  type SignatureScheme,
} from "../../keys/signature-scheme.js";
import { printable } from "../../printable.js";
import type { Certificate } from "../../x509/certificate.js";
import { nameText, sameName } from "../../x509/name.js";
import { ATTRIBUTE_TYPE, soleValue } from "./attributes.js";
import type { Digests, LineEnds } from "./content-digests.js";
import type { SignerId, SignerInfo } from "./signer-info.js";
import { boundTo } from "./signing-certificate.js";

/** What signatures are accepted. */
export interface SignaturePolicy {
  /** SHA-1, and RSA keys from 1,024 bits: for what was signed long ago. */
  readonly allowLegacy?: boolean | undefined;
}

/** Whose signature holds. */
export interface Signer {
  readonly certificate: Certificate;
  readonly publicKey: SigningPublicKey;
  /** As in `ECDSA SHA-256`. */
  readonly algorithm: string;
  /** In which form the content was signed. */
  readonly lineEnds: LineEnds;
  /** When the signer says to have signed, milliseconds since 1970-01-01T00:00Z. */
  readonly signingTimeMs?: number;
  /** True if the signature names this very certificate (RFC 5035). */
  readonly bound: boolean;
  /** SHA-256 of the signed attributes' DER: what names this signature. */
  readonly attributesHash: Uint8Array;
}

/** What a signature is to be over. */
export interface TypedContent {
  /** Dotted. */
  readonly contentType: string;
  readonly digests: Digests;
}

/**
 * @param certificates - those to look for the signer's in
 * @throws AuthenticationError `ERR_SENDER_SIGNATURE`, `ERR_CONTENT_MISMATCH`,
 *   `ERR_SIGNER_CERTIFICATE`; PolicyError
 *   `ERR_WEAK_SIGNATURE`, `ERR_NO_SIGNED_ATTRIBUTES`, `ERR_WEAK_KEY`; UnsupportedError
 *   `ERR_SIGNATURE_ALGORITHM`, `ERR_KEY_TYPE`; FormatError
 */
export function checkSigner(
  info: SignerInfo,
  content: TypedContent,
  certificates: readonly Certificate[],
  policy: SignaturePolicy,
): Signer {
  const digest = requireDigest(info.digestAlgorithm, policy);
  if (info.signed === undefined) {
    throw new PolicyError("ERR_NO_SIGNED_ATTRIBUTES", "the signature is over no attributes", {
      hint:
        "it can't be told from one over attributes that somebody passes off as content; " +
        "ask the sender to sign with attributes, as by default (openssl: without -noattr)",
    });
  }
  const { attributes, der: signed } = info.signed;
  const lineEnds = formSigned(info.signed.attributes, content, digest);
  const signingTime = soleValue(attributes, ATTRIBUTE_TYPE.signingTime);
  const signingTimeMs = signingTime && readOnlyTime(signingTime);

  const scheme = signatureScheme(info.signatureAlgorithm, digest);
  requireAgreement(scheme, digest);
  const candidates = certificatesNamed(info.id, certificates);
  let publicKey: SigningPublicKey | undefined;
  const certificate = candidates.find((candidate) => {
    publicKey = signingKeyOf(candidate, policy);
    return schemeVerifies(scheme, publicKey, signed, info.signature);
  });
  if (certificate === undefined || publicKey === undefined) throw doesNotHold();
  const binding = boundTo(attributes, certificate);
  if (binding === "other") {
    throw new AuthenticationError(
      "ERR_SENDER_SIGNATURE",
      "the signature was made under another certificate of the same key",
      { hint: "somebody replaced the signer's certificate; ask the sender about it" },
    );
  }
  return {
    ...{ certificate, publicKey, lineEnds, bound: binding === "this" },
    algorithm: scheme.name,
    attributesHash: createHash("sha256").update(signed).digest(),
    ...defined({ signingTimeMs }),
  };
}

/** The signer for people, before it is known who that is. */
export function signerText(id: SignerId): string {
  if ("subjectKeyId" in id) return `key identifier ${toHex(id.subjectKeyId).slice(0, 64)}`;
  return `serial number ${toHex(id.serial)
    .replace(/^00(?=.)/, "")
    .slice(0, 64)} of ${printable(nameText(id.issuer))}`;
}

/**
 * The hash that a signer's AlgorithmIdentifier names, if signatures may be over it.
 *
 * @throws PolicyError `ERR_WEAK_SIGNATURE`; UnsupportedError `ERR_SIGNATURE_ALGORITHM`
 */
export function requireDigest(
  algorithm: AlgorithmIdentifier,
  { allowLegacy = false }: SignaturePolicy,
): SignatureDigest {
  const digest = signatureDigest(algorithm);
  if (digest === "sha1" && !allowLegacy) {
    throw new PolicyError("ERR_WEAK_SIGNATURE", "signed with SHA-1", {
      hint: "such signatures can be forged; --allow-legacy accepts them, for old messages",
    });
  }
  if (digest !== undefined) return digest;
  const name = BROKEN_DIGESTS[algorithm.oid];
  if (name !== undefined) {
    throw new PolicyError("ERR_WEAK_SIGNATURE", `signed with ${name}`, {
      hint: "anybody can forge such signatures; ask the sender to sign with SHA-256",
    });
  }
  throw new UnsupportedError(
    "ERR_SIGNATURE_ALGORITHM",
    `the content's hash has algorithm ${algorithm.oid}, which is not supported`,
  );
}

/** Which form of the content the signature is over: RFC 5652 §5.6, §11.1 and §11.2. */
function formSigned(
  attributes: NonNullable<SignerInfo["signed"]>["attributes"],
  { contentType, digests }: TypedContent,
  digest: SignatureDigest,
): LineEnds {
  const type = soleValue(attributes, ATTRIBUTE_TYPE.contentType);
  const messageDigest = soleValue(attributes, ATTRIBUTE_TYPE.messageDigest);
  if (type === undefined || messageDigest === undefined) {
    const name = type === undefined ? "contentType" : "messageDigest";
    throw new FormatError("ERR_ATTRIBUTES", `the signed attributes have no ${name}`);
  }
  const signedType = oidText(only(type, "contentType", TAG.oid));
  if (signedType !== contentType) {
    throw new AuthenticationError(
      "ERR_SENDER_SIGNATURE",
      `signed as content of type ${signedType}, and sent as ${contentType}`,
      { hint: "somebody altered the message; don't use it" },
    );
  }
  const expected = only(messageDigest, "messageDigest", TAG.octetString);
  for (const form of ["as-is", "crlf"] as const) {
    const found = digests[form]?.get(digest);
    if (found !== undefined && equal(found, expected)) return form;
  }
  if (digests["as-is"]?.has(digest) !== true) {
    throw new FormatError(
      "ERR_ATTRIBUTES",
      `the message does not announce ${digestName(digest)}, which a signer uses`,
    );
  }
  throw new AuthenticationError("ERR_CONTENT_MISMATCH", "the content is not the one signed", {
    hint:
      digests.crlf === undefined
        ? "it was altered, or belongs to another signature"
        : "it was altered, or belongs to another signature; with other line ends it doesn't fit either",
  });
}

/** RFC 5754 §3, RFC 5753 §2.1.1, RFC 8419 §3.1: both algorithms of a signer have one hash. */
function requireAgreement(
  { name, type, digest: signed }: SignatureScheme,
  digest: SignatureDigest,
) {
  const expected = type === "ed25519" ? "sha512" : signed;
  if (digest === expected) return;
  throw new FormatError(
    "ERR_SIGNATURE_ALGORITHM",
    `the content's hash is ${digestName(digest)}, and the signature's algorithm ${name}`,
  );
}

function certificatesNamed(
  id: SignerId,
  certificates: readonly Certificate[],
): readonly Certificate[] {
  const named = certificates.filter((certificate) => isNamed(id, certificate));
  if (named.length === 0) {
    throw new AuthenticationError(
      "ERR_SIGNER_CERTIFICATE",
      "the message does not hold the signer's certificate",
      { hint: "if you have it, give it with --cert" },
    );
  }
  // An issuer gives a serial number once, and a certificate authority a key identifier to one key.
  if (named.length > MAX_CANDIDATES) {
    throw new FormatError(
      "ERR_SIGNER_CERTIFICATE",
      `${named.length} certificates answer to one signer's name`,
    );
  }
  return named;
}

function isNamed(id: SignerId, { issuer, serial, subjectKeyId }: Certificate): boolean {
  if ("subjectKeyId" in id) {
    return subjectKeyId !== undefined && equal(subjectKeyId, id.subjectKeyId);
  }
  return equal(serial, id.serial) && sameName(issuer, id.issuer);
}

function signingKeyOf(
  { spki }: Certificate,
  { allowLegacy = false }: SignaturePolicy,
): SigningPublicKey {
  const { publicKey } = keyInSpki(spki);
  if (publicKey.type === "x25519" || publicKey.type === "hybrid") throw doesNotHold();
  if (publicKey.type === "rsa") requireExchange(publicKey, { allowWeak: allowLegacy });
  return publicKey;
}

function readOnlyTime(value: Uint8Array): number {
  const reader = new DerReader(value, "signingTime");
  const ms = readTime(reader);
  reader.end();
  return ms;
}

function only(value: Uint8Array, what: string, tag: number): Uint8Array {
  const reader = new DerReader(value, what);
  const content = reader.read(tag);
  reader.end();
  return content;
}

function doesNotHold(): AuthenticationError {
  return new AuthenticationError("ERR_SENDER_SIGNATURE", "the signature does not hold", {
    hint: "somebody else made or altered it; don't use what it came with",
  });
}

const MAX_CANDIDATES = 4;

const BROKEN_DIGESTS: Readonly<Record<string, string>> = {
  "1.2.840.113549.2.2": "MD2",
  "1.2.840.113549.2.4": "MD4",
  "1.2.840.113549.2.5": "MD5",
};
