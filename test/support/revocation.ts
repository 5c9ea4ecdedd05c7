/** Revocation lists and OCSP responses made for tests, sound or not. */
import { createHash } from "node:crypto";
import { der, derUnsigned, TAG } from "../../src/asn1/der.js";
import { derAlgorithm } from "../../src/asn1/algorithm-identifier.js";
import { derTime } from "../../src/asn1/time.js";
import { ascii, fromHex } from "../../src/bytes.js";
import { derOid } from "../../src/asn1/oid.js";
import { DerReader } from "../../src/asn1/der.js";
import type { Certificate } from "../../src/x509/certificate.js";
import { EXTENSION } from "../../src/x509/extensions.js";
import {
  bitString,
  DAY_MS,
  ECDSA_SHA256,
  extension,
  namedBits,
  NOW_MS,
  signedBytes,
  smallInteger,
  type Issuer,
  type SigningAlgorithm,
} from "./certificates.js";
import { sign } from "node:crypto";

export interface CrlOptions {
  /** Entries, whole: see `revoked`. */
  readonly entries?: readonly Uint8Array[];
  readonly extensions?: readonly Uint8Array[];
  /** The list's issuer, if it is not the signer. */
  readonly issuer?: Certificate;
  readonly thisUpdateMs?: number;
  /** `null`: none. */
  readonly nextUpdateMs?: number | null;
  readonly algorithm?: SigningAlgorithm;
}

/** A list signed by `signer`. */
export function crl(signer: Issuer, options: CrlOptions = {}): Uint8Array {
  const { entries = [], extensions = [crlNumber(1)], issuer = signer.certificate } = options;
  const { thisUpdateMs = NOW_MS - DAY_MS, nextUpdateMs = NOW_MS + DAY_MS } = options;
  const { algorithm = ECDSA_SHA256 } = options;
  const none = new Uint8Array(0);
  const fields = [
    smallInteger(1),
    derAlgorithm(algorithm.identifier),
    issuer.subject.der,
    derTime(thisUpdateMs),
    nextUpdateMs === null ? none : derTime(nextUpdateMs),
    entries.length === 0 ? none : der(TAG.sequence, ...entries),
    extensions.length === 0 ? none : der(0xa0, der(TAG.sequence, ...extensions)),
  ];
  return signedBytes(fields, signer.keys.privateKey, algorithm);
}

/** An entry of a list. */
export function revoked(
  certificate: { readonly serial: Uint8Array },
  ...extensions: readonly Uint8Array[]
): Uint8Array {
  return der(
    TAG.sequence,
    der(TAG.integer, certificate.serial),
    derTime(NOW_MS - 10 * DAY_MS),
    extensions.length === 0 ? new Uint8Array(0) : der(TAG.sequence, ...extensions),
  );
}

export function reason(number: number): Uint8Array {
  return extension(EXTENSION.reasonCode, der(TAG.enumerated, Uint8Array.of(number)));
}

export function crlNumber(number: number): Uint8Array {
  return extension(EXTENSION.crlNumber, smallInteger(number));
}

export function deltaOf(base: number): Uint8Array {
  return extension(EXTENSION.deltaCrlIndicator, smallInteger(base), true);
}

export interface ScopeOptions {
  /** GeneralNames of the distribution point. */
  readonly names?: readonly Uint8Array[];
  readonly onlyUsers?: boolean;
  readonly onlyAuthorities?: boolean;
  readonly onlyAttributes?: boolean;
  /** Bits of ReasonFlags. */
  readonly reasons?: readonly number[];
  readonly indirect?: boolean;
}

/** IssuingDistributionPoint. */
export function scope(options: ScopeOptions): Uint8Array {
  const none = new Uint8Array(0);
  const flag = (tag: number, set: boolean | undefined): Uint8Array =>
    set === true ? der(tag, Uint8Array.of(0xff)) : none;
  const value = der(
    TAG.sequence,
    options.names === undefined ? none : der(0xa0, der(0xa0, ...options.names)),
    flag(0x81, options.onlyUsers),
    flag(0x82, options.onlyAuthorities),
    options.reasons === undefined ? none : namedBits(options.reasons, 0x83),
    flag(0x84, options.indirect),
    flag(0x85, options.onlyAttributes),
  );
  return extension(EXTENSION.issuingDistributionPoint, value, true);
}

export interface PointOptions {
  readonly names?: readonly Uint8Array[];
  readonly reasons?: readonly number[];
  /** GeneralNames. */
  readonly crlIssuer?: readonly Uint8Array[];
}

/** CRLDistributionPoints. */
export function distributionPoints(...points: readonly PointOptions[]): Uint8Array {
  const none = new Uint8Array(0);
  const all = points.map(({ names, reasons, crlIssuer }) =>
    der(
      TAG.sequence,
      names === undefined ? none : der(0xa0, der(0xa0, ...names)),
      reasons === undefined ? none : namedBits(reasons, 0x81),
      crlIssuer === undefined ? none : der(0xa2, ...crlIssuer),
    ),
  );
  return extension(EXTENSION.crlDistributionPoints, der(TAG.sequence, ...all));
}

// ── OCSP ──

export interface OcspOptions {
  readonly status?: "good" | "revoked" | "unknown";
  /** What stands under the tag of a revocation's reason; nothing: the field is absent. */
  readonly reason?: readonly Uint8Array[];
  readonly thisUpdateMs?: number;
  /** `null`: none. */
  readonly nextUpdateMs?: number | null;
  readonly producedMs?: number;
  /** Who is named as the responder, and by what. */
  readonly responder?: Certificate;
  readonly byKey?: boolean;
  readonly certificates?: readonly Certificate[];
  readonly extensions?: readonly Uint8Array[];
  readonly singleExtensions?: readonly Uint8Array[];
  readonly hash?: { readonly name: string; readonly oid: string };
}

const SHA1 = { name: "sha1", oid: "1.3.14.3.2.26" };

/** An answer about `certificate`, which `issuer` issued, signed by `signer`. */
export function ocspResponse(
  certificate: Certificate,
  issuer: Certificate,
  signer: Issuer,
  options: OcspOptions = {},
): Uint8Array {
  const { status = "good", hash = SHA1, responder = signer.certificate } = options;
  const { thisUpdateMs = NOW_MS - DAY_MS, nextUpdateMs = NOW_MS + DAY_MS } = options;
  const { certificates = [], extensions = [], singleExtensions = [] } = options;
  const none = new Uint8Array(0);
  const digest = (bytes: Uint8Array, name = hash.name): Uint8Array =>
    der(TAG.octetString, createHash(name).update(bytes).digest());
  const given = options.reason === undefined ? none : der(0xa0, ...options.reason);
  const answers = {
    good: der(0x80),
    revoked: der(0xa1, generalizedTime(NOW_MS - 10 * DAY_MS), given),
    unknown: der(0x82),
  };
  const single = der(
    TAG.sequence,
    der(
      TAG.sequence,
      derAlgorithm({ oid: hash.oid, parameters: der(TAG.null) }),
      digest(issuer.subject.der),
      digest(keyBits(issuer)),
      der(TAG.integer, certificate.serial),
    ),
    answers[status],
    generalizedTime(thisUpdateMs),
    nextUpdateMs === null ? none : der(0xa0, generalizedTime(nextUpdateMs)),
    singleExtensions.length === 0 ? none : der(0xa1, der(TAG.sequence, ...singleExtensions)),
  );
  const data = der(
    TAG.sequence,
    options.byKey === true
      ? der(0xa2, digest(keyBits(responder), "sha1"))
      : der(0xa1, responder.subject.der),
    generalizedTime(options.producedMs ?? thisUpdateMs),
    der(TAG.sequence, single),
    extensions.length === 0 ? none : der(0xa1, der(TAG.sequence, ...extensions)),
  );
  const basic = der(
    TAG.sequence,
    data,
    derAlgorithm(ECDSA_SHA256.identifier),
    bitString(sign("sha256", data, signer.keys.privateKey)),
    certificates.length === 0
      ? none
      : der(0xa0, der(TAG.sequence, ...certificates.map((one) => one.der))),
  );
  return ocspEnvelope(0, "1.3.6.1.5.5.7.48.1.1", basic);
}

/** OCSPResponse. */
export function ocspEnvelope(status: number, type: string, basic: Uint8Array): Uint8Array {
  const typed = der(TAG.sequence, derOid(type), der(TAG.octetString, basic));
  return der(TAG.sequence, der(TAG.enumerated, Uint8Array.of(status)), der(0xa0, typed));
}

export function generalizedTime(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return der(TAG.generalizedTime, ascii(digits));
}

function keyBits({ spki }: Certificate): Uint8Array {
  const fields = new DerReader(spki, "key").sequence();
  fields.read(TAG.sequence);
  return fields.bitString();
}

/** Entries of a list, joined, whose serial numbers have 16 bytes; every other one has a reason. */
export function manyRevoked(count: number): Uint8Array {
  const time = derTime(NOW_MS - 10 * DAY_MS);
  const extensions = der(TAG.sequence, reason(1));
  const entries = Array.from({ length: count }, (_, index) => {
    const serial = fromHex(`5a${"00".repeat(11)}${index.toString(16).padStart(8, "0")}`);
    const parts = [derUnsigned(serial), time];
    return der(TAG.sequence, ...(index % 2 === 0 ? [...parts, extensions] : parts));
  });
  return new Uint8Array(Buffer.concat(entries));
}
