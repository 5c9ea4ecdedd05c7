/**
 * Reads the public half of a key pair from wherever the token shows it: a public key object, a
 * certificate, or attributes of the private key object. Tokens encode points in several ways; the
 * result is in canonical form.
 */
import { concat, equal, fromHex, toHex } from "../../bytes.js";
import { FormatError, PolicyError, UnsupportedError } from "../../errors.js";
import { parseCertifiedKey } from "../../keys/formats/certified-key.js";
import { der, TAG } from "../../asn1/der.js";
import type { EcCurve, PublicKey, RsaPublicKey, SinglePublicKey } from "../../keys/key.js";
import {
  decompress,
  publicKeyFromEcPoint,
  publicKeyFromEd25519,
  publicKeyFromRsa,
  publicKeyFromSpki,
  publicKeyFromX25519,
} from "../../keys/public-key.js";
import { CURVES, EC_CURVES } from "../../keys/formats/spki.js";
import { CKK } from "../modules/constants.js";
import type { Session } from "../session/session.js";

const UTF8_STRING = 0x0c;
const PRINTABLE_STRING = 0x13;

/** The public half, as far as the token shows it. */
export interface PublicHalf {
  /** Absent where the token doesn't show it, or shows one that this project doesn't know. */
  readonly publicKey?: SinglePublicKey;
  /** As in "RSA-3072", "P-256"; "unknown" where the token does not tell. */
  readonly kind: string;
}

/** The public half as a public or private key object shows it. */
export function publicHalfOfKey(session: Session, object: Buffer): PublicHalf {
  return known(() => readKey(session, object)) ?? { kind: kindOfObject(session, object) };
}

/**
 * The public half of an RSA private key with the exponent that practically every key has. Some
 * tokens show the modulus and not the exponent. A use of the key tells if it is the right one.
 */
export function usualRsaHalf(session: Session, object: Buffer): RsaPublicKey | undefined {
  if (session.number(object, "KEY_TYPE") !== CKK.RSA) return undefined;
  const modulus = session.bytes(object, "MODULUS");
  return modulus?.length ? publicKeyFromRsa(modulus, USUAL_EXPONENT) : undefined;
}

const USUAL_EXPONENT = Uint8Array.of(1, 0, 1);

/**
 * The public half as the value of an X.509 certificate object shows it; undefined: the token does
 * not show it.
 */
export function publicHalfOfCertificate(value: Uint8Array | undefined): PublicHalf {
  const half = value && known(() => single(parseCertifiedKey(value, new Date()).publicKey));
  return half ?? { kind: "unknown" };
}

/** As in "RSA-3072", "P-256", "X25519". */
export function kindOf(publicKey: SinglePublicKey): string {
  switch (publicKey.type) {
    case "rsa":
      return `RSA-${publicKey.bits}`;
    case "ec":
      return publicKey.curve;
    case "x25519":
      return "X25519";
    case "ed25519":
      return "Ed25519";
  }
}

/** CKA_EC_PARAMS of a curve: its OID in DER (PKCS#11 v2.40 §2.3.3). */
export function ecParams(curve: EcCurve): Uint8Array {
  return der(TAG.oid, fromHex(CURVES[curve].oid));
}

/**
 * CKA_EC_PARAMS of the curves of RFC 7748 and RFC 8032, in the order in which they are tried: the
 * OID (RFC 8410 §3), then the curve's name (PKCS#11 v3.0 §2.3.10).
 */
export const CURVE25519_PARAMS = {
  x25519: [fromHex("06032b656e"), printableString("curve25519")],
  ed25519: [fromHex("06032b6570"), printableString("edwards25519")],
} as const;

/**
 * The point in CKA_EC_POINT, `bytes` long. The standard requires a DER OCTET STRING. Some tokens
 * give the bare point or a BIT STRING, and tpm2-pkcs11 writes the length of a P-521 point as one
 * byte. All forms are a known header and the point.
 */
export function pointOf(value: Uint8Array, bytes: number): Uint8Array | undefined {
  const lengthOf = (content: number): number[] => (content < 0x80 ? [content] : [0x81, content]);
  const headers = [
    [],
    [TAG.octetString, ...lengthOf(bytes)],
    [TAG.octetString, bytes],
    [TAG.bitString, ...lengthOf(bytes + 1), 0],
  ];
  const header = headers.find(
    (one) =>
      value.length === one.length + bytes &&
      equal(value.subarray(0, one.length), Uint8Array.from(one)),
  );
  return header && value.slice(header.length);
}

/** The uncompressed point: given as such, compressed, or as x ‖ y. */
function ecPointOf(value: Uint8Array, curve: EcCurve): Uint8Array | undefined {
  const { fieldBytes } = CURVES[curve];
  const uncompressed = pointOf(value, 1 + 2 * fieldBytes);
  if (uncompressed !== undefined) return uncompressed;
  const compressed = pointOf(value, 1 + fieldBytes);
  if (compressed !== undefined) return decompress(curve, compressed);
  const coordinates = pointOf(value, 2 * fieldBytes);
  return coordinates && concat(Uint8Array.of(0x04), coordinates);
}

function readKey(session: Session, object: Buffer): SinglePublicKey | undefined {
  const type = session.number(object, "KEY_TYPE");
  if (type === CKK.RSA) {
    const modulus = session.bytes(object, "MODULUS");
    const exponent = session.bytes(object, "PUBLIC_EXPONENT");
    if (!modulus?.length || !exponent?.length) return readInfo(session, object);
    return publicKeyFromRsa(modulus, exponent);
  }
  const params = session.bytes(object, "EC_PARAMS");
  const value = session.bytes(object, "EC_POINT");
  if (params === undefined || value === undefined) return readInfo(session, object);
  if (type === CKK.EC) {
    const curve = curveOf(params);
    const point = curve && ecPointOf(value, curve);
    return curve && point && publicKeyFromEcPoint(curve, point);
  }
  // SoftHSM gives X25519 keys the type of the Edwards curves, so the parameters decide.
  if (type === CKK.EC_EDWARDS || type === CKK.EC_MONTGOMERY) {
    const point = pointOf(value, 32);
    if (point === undefined) return undefined;
    const curve = nameIn(params) ?? toHex(params);
    if (X25519_PARAMS.has(curve)) return publicKeyFromX25519(point);
    if (ED25519_PARAMS.has(curve)) return publicKeyFromEd25519(point);
  }
  return undefined;
}

/** CKA_PUBLIC_KEY_INFO (PKCS#11 v2.40 §4.7): a SubjectPublicKeyInfo, also of private keys. */
function readInfo(session: Session, object: Buffer): SinglePublicKey | undefined {
  const info = session.bytes(object, "PUBLIC_KEY_INFO");
  return info?.length ? single(publicKeyFromSpki(info)) : undefined;
}

/** No token is known to hold both halves of a hybrid key. */
function single(publicKey: PublicKey): SinglePublicKey | undefined {
  return publicKey.type === "hybrid" ? undefined : publicKey;
}

/** A key of an unknown kind has no public half. It does not keep other keys from being listed. */
function known(read: () => SinglePublicKey | undefined): PublicHalf | undefined {
  try {
    const publicKey = read();
    return publicKey && { publicKey, kind: kindOf(publicKey) };
  } catch (error) {
    for (const kind of [FormatError, PolicyError, UnsupportedError]) {
      if (error instanceof kind) return undefined;
    }
    throw error;
  }
}

function kindOfObject(session: Session, object: Buffer): string {
  const type = session.number(object, "KEY_TYPE");
  if (type === CKK.RSA) {
    const bytes = session.bytes(object, "MODULUS")?.length;
    return bytes ? `RSA-${bytes * 8}` : "unknown";
  }
  return (type === CKK.EC ? curveOf(session.bytes(object, "EC_PARAMS")) : undefined) ?? "unknown";
}

function curveOf(params: Uint8Array | undefined): EcCurve | undefined {
  if (params === undefined) return undefined;
  const name = nameIn(params);
  return EC_CURVES.find((curve) =>
    name === undefined ? equal(ecParams(curve), params) : CURVE_NAMES[curve].includes(name),
  );
}

/** A curve's name in a PrintableString or UTF8String, in lower case, without `id-`. */
function nameIn([tag, length, ...text]: Uint8Array): string | undefined {
  if ((tag !== PRINTABLE_STRING && tag !== UTF8_STRING) || length !== text.length) return undefined;
  return Buffer.from(text).toString("latin1").toLowerCase().replace(/^id-/, "");
}

/** In lower case: SEC 2, ANSI X9.62, FIPS 186, and how libraries shorten that. */
const CURVE_NAMES: Readonly<Record<EcCurve, readonly string[]>> = {
  "P-256": ["secp256r1", "prime256v1", "p-256", "nist p-256", "nistp256", "p256", "ansix9p256r1"],
  "P-384": ["secp384r1", "p-384", "nist p-384", "nistp384", "p384", "ansix9p384r1"],
  "P-521": ["secp521r1", "p-521", "nist p-521", "nistp521", "p521", "ansix9p521r1"],
};

/**
 * OIDs in DER, and names. The last OID is an older one of curve25519 (1.3.6.1.4.1.3029.1.5.1) that
 * some libraries write.
 */
const X25519_PARAMS = new Set([
  ...["curve25519", "x25519", "montgomery25519"],
  ...["06032b656e", "060a2b060104019755010501"],
]);
const ED25519_PARAMS = new Set(["edwards25519", "ed25519", "06032b6570"]);

function printableString(text: string): Uint8Array {
  return der(PRINTABLE_STRING, new TextEncoder().encode(text));
}
