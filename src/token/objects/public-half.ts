/**
 * Reads the public half of a key pair from wherever the token shows it: a public key object, a
 * certificate, or attributes of the private key object. Tokens encode points in several ways; the
 * result is in canonical form.
 */
import { equal, fromHex, toHex } from "../../bytes.js";
import { FormatError, PolicyError, UnsupportedError } from "../../errors.js";
import { parseCertificate } from "../../keys/formats/certificate.js";
import { der, TAG } from "../../keys/formats/der.js";
import type { EcCurve, PublicKey } from "../../keys/key.js";
import {
  publicKeyFromEcPoint,
  publicKeyFromEd25519,
  publicKeyFromRsa,
  publicKeyFromSpki,
  publicKeyFromX25519,
} from "../../keys/public-key.js";
import { CURVES, EC_CURVES } from "../../keys/formats/spki.js";
import { CKK } from "../modules/constants.js";
import type { Session } from "../session/session.js";

/** The public half, as far as the token shows it. */
export interface PublicHalf {
  /** Absent where the token doesn't show it, or shows one that this project doesn't know. */
  readonly publicKey?: PublicKey;
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
export function usualRsaHalf(session: Session, object: Buffer): PublicKey | undefined {
  if (session.number(object, "KEY_TYPE") !== CKK.RSA) return undefined;
  const modulus = session.bytes(object, "MODULUS");
  return modulus?.length ? publicKeyFromRsa(modulus, USUAL_EXPONENT) : undefined;
}

const USUAL_EXPONENT = Uint8Array.of(1, 0, 1);

/** The public half as an X.509 certificate object shows it. */
export function publicHalfOfCertificate(session: Session, object: Buffer): PublicHalf {
  const value = session.bytes(object, "VALUE");
  const half = value && known(() => parseCertificate(value, new Date()).publicKey);
  return half ?? { kind: "unknown" };
}

/** As in "RSA-3072", "P-256", "X25519". */
export function kindOf(publicKey: PublicKey): string {
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
 * The point in CKA_EC_POINT: `bytes` long, and beginning with 04 where it is uncompressed. The
 * standard requires a DER OCTET STRING. Some tokens give the bare point, and tpm2-pkcs11 writes the
 * length of a P-521 point as one byte. All three forms are a known header and the point.
 */
export function pointOf(value: Uint8Array, bytes: number): Uint8Array | undefined {
  const headers = [
    [],
    ...(bytes < 0x80 ? [[TAG.octetString, bytes]] : [[TAG.octetString, 0x81, bytes]]),
    [TAG.octetString, bytes],
  ];
  const header = headers.find(
    (one) =>
      value.length === one.length + bytes &&
      equal(value.subarray(0, one.length), Uint8Array.from(one)),
  );
  return header && value.slice(header.length);
}

function readKey(session: Session, object: Buffer): PublicKey | undefined {
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
    const point = curve && pointOf(value, 1 + 2 * CURVES[curve].fieldBytes);
    return curve && point && publicKeyFromEcPoint(curve, point);
  }
  // SoftHSM gives X25519 keys the type of the Edwards curves, so the parameters decide.
  if (type === CKK.EC_EDWARDS || type === CKK.EC_MONTGOMERY) {
    const point = pointOf(value, 32);
    if (point === undefined) return undefined;
    if (X25519_PARAMS.has(toHex(params))) return publicKeyFromX25519(point);
    if (ED25519_PARAMS.has(toHex(params))) return publicKeyFromEd25519(point);
  }
  return undefined;
}

/** CKA_PUBLIC_KEY_INFO (PKCS#11 v2.40 §4.7): a SubjectPublicKeyInfo, also of private keys. */
function readInfo(session: Session, object: Buffer): PublicKey | undefined {
  const info = session.bytes(object, "PUBLIC_KEY_INFO");
  return info?.length ? publicKeyFromSpki(info) : undefined;
}

/** A key of an unknown kind has no public half. It does not keep other keys from being listed. */
function known(read: () => PublicKey | undefined): PublicHalf | undefined {
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
  return params && EC_CURVES.find((curve) => equal(ecParams(curve), params));
}

/**
 * The last one is an older OID of curve25519 (1.3.6.1.4.1.3029.1.5.1) that some libraries write.
 */
const X25519_PARAMS = new Set([...CURVE25519_PARAMS.x25519.map(toHex), "060a2b060104019755010501"]);
const ED25519_PARAMS = new Set(CURVE25519_PARAMS.ed25519.map(toHex));

function printableString(text: string): Uint8Array {
  return der(0x13, new TextEncoder().encode(text));
}
