/**
 * The forms in which Windows and .NET keep public keys, beside CryptoAPI's own blob:
 *
 * - the strong-name key (`sn -p`; StrongName's PublicKeyBlob): SigAlgID, HashAlgID and a length,
 *   then a PUBLICKEYBLOB;
 * - CNG's BCRYPT_RSAKEY_BLOB and BCRYPT_ECCKEY_BLOB (bcrypt.h): a magic of four letters, lengths
 *   little-endian, numbers big-endian;
 * - the `RSAKeyValue` of XML signatures (RFC 3275 §4.4.2.2), as `RSA.ToXmlString` writes it.
 */
import { Cursor, fromBase64 } from "../../bytes.js";
import { FormatError, UnsupportedError } from "../../errors.js";
import type { EcCurve, PublicKey, RsaPublicKey } from "../key.js";
import { publicKeyFromEcPoint, publicKeyFromRsa } from "../public-key.js";
import { privateKeyAsRecipient } from "../refusals.js";
import { blobKind, CALG_RSA_SIGN, parsePublicKeyBlob } from "./capi-blob.js";
import { readU32le } from "./little-endian.js";
import { CURVES } from "./spki.js";

/** A key in a CNG blob, and whether its magic says that it signs (ECDSA) or receives (ECDH). */
export interface CngKey {
  readonly publicKey: PublicKey;
  readonly use?: "exchange" | "sign";
}

/**
 * The key if the bytes begin as a strong-name key does, else `undefined`. It is a signature key.
 *
 * @throws as `parsePublicKeyBlob`
 */
export function parseStrongName(bytes: Uint8Array): RsaPublicKey | undefined {
  const blob = bytes.subarray(STRONG_NAME_HEADER);
  if (blobKind(blob) !== "public") return undefined;
  const header = new Cursor(bytes.subarray(0, STRONG_NAME_HEADER), "strong-name key");
  const signature = readU32le(header);
  header.take(4); // The hash with which assemblies are signed.
  const length = readU32le(header);
  if (signature !== CALG_RSA_SIGN) return undefined;
  if (length !== blob.length) {
    throw new FormatError(
      "ERR_BLOB",
      `the strong-name key has ${blob.length} bytes after its header, which says ${length}`,
    );
  }
  return parsePublicKeyBlob(blob).publicKey;
}

/**
 * The key if the bytes begin as a CNG blob does, else `undefined`.
 *
 * @throws FormatError `ERR_BLOB`, `ERR_TRUNCATED`, `ERR_TRAILING`, `ERR_KEY`, `ERR_POINT`;
 *   `ERR_PRIVATE_KEY_AS_RECIPIENT` for the private forms; UnsupportedError `ERR_KEY_SIZE`,
 *   `ERR_KEY_TYPE`.
 */
export function parseCngBlob(bytes: Uint8Array): CngKey | undefined {
  const magic = Buffer.from(bytes.subarray(0, MAGIC_BYTES)).toString("latin1");
  // Text may begin with the same letters, but a length below 2^24 has a zero byte.
  if (bytes[MAGIC_BYTES + 3] !== 0) return undefined;
  if (PRIVATE_MAGICS.has(magic)) throw privateKeyAsRecipient("this CNG blob");
  if (magic === "RSA1") return { publicKey: cngRsa(bytes) };
  if (GENERIC_MAGICS.has(magic)) {
    throw new UnsupportedError("ERR_KEY_TYPE", "a CNG blob that does not name its curve", {
      hint: "export the key as SubjectPublicKeyInfo (ExportSubjectPublicKeyInfo), or a certificate",
    });
  }
  const curve = CNG_CURVES.get(magic.slice(0, 2) + magic.slice(3));
  if (curve === undefined) return undefined;
  if (magic[2] === "K") return { publicKey: cngEc(bytes, curve), use: "exchange" };
  return magic[2] === "S" ? { publicKey: cngEc(bytes, curve), use: "sign" } : undefined;
}

/** True for text whose first element is `RSAKeyValue`. */
export function looksLikeRsaKeyValue(text: string): boolean {
  return /^(?:<\?xml[^<>]{0,200}\?>\s*)?<RSAKeyValue[\s>]/.test(text);
}

/**
 * The key of an `RSAKeyValue`, which is the text's only element.
 *
 * @throws FormatError `ERR_KEY_FORMAT`, `ERR_KEY`, `ERR_PRIVATE_KEY_AS_RECIPIENT`;
 *   UnsupportedError `ERR_KEY_SIZE`.
 */
export function parseRsaKeyValue(text: string): PublicKey {
  const inside = RSA_KEY_VALUE.exec(text)?.[1];
  if (inside === undefined) throw damagedXml("not one whole element");
  const numbers = new Map<string, Uint8Array>();
  let rest = inside.trim();
  while (rest !== "") {
    const [whole, name, value] = ELEMENT.exec(rest) ?? [];
    if (whole === undefined || name === undefined || value === undefined) {
      throw damagedXml("not a list of elements with base64");
    }
    if (PRIVATE_ELEMENTS.has(name)) throw privateKeyAsRecipient("this RSAKeyValue");
    if (!PUBLIC_ELEMENTS.has(name)) throw damagedXml("an element that is not expected");
    if (numbers.has(name)) throw damagedXml(`more than one ${name}`);
    numbers.set(name, numberOf(name, value));
    rest = rest.slice(whole.length).trimStart();
  }
  const [modulus, exponent] = [numbers.get("Modulus"), numbers.get("Exponent")];
  if (modulus === undefined || exponent === undefined) {
    throw damagedXml("Modulus or Exponent is missing");
  }
  return publicKeyFromRsa(modulus, exponent);
}

// ── Details ──

function cngRsa(bytes: Uint8Array): RsaPublicKey {
  const cursor = new Cursor(bytes.subarray(MAGIC_BYTES), "CNG blob");
  const bits = readU32le(cursor);
  const exponentBytes = readU32le(cursor);
  const modulusBytes = readU32le(cursor);
  const primes = [readU32le(cursor), readU32le(cursor)];
  if (primes.some((length) => length !== 0)) {
    throw new FormatError("ERR_BLOB", "the CNG blob's magic says public, its lengths private");
  }
  const exponent = cursor.take(exponentBytes);
  const modulus = cursor.take(modulusBytes);
  cursor.end();
  const publicKey = publicKeyFromRsa(modulus, exponent);
  if (publicKey.bits !== bits || publicKey.modulus.length !== modulusBytes) {
    throw new FormatError(
      "ERR_BLOB",
      `the CNG blob's modulus has ${publicKey.bits} bits, its header says ${bits}`,
    );
  }
  return publicKey;
}

function cngEc(bytes: Uint8Array, curve: EcCurve): PublicKey {
  const cursor = new Cursor(bytes.subarray(MAGIC_BYTES), "CNG blob");
  const { fieldBytes } = CURVES[curve];
  const length = readU32le(cursor);
  if (length !== fieldBytes) {
    throw new FormatError("ERR_BLOB", `the CNG blob's length is ${length}, not ${curve}'s`);
  }
  const coordinates = cursor.take(2 * fieldBytes);
  cursor.end();
  return publicKeyFromEcPoint(curve, Uint8Array.of(4, ...coordinates));
}

function numberOf(name: string, base64: string): Uint8Array {
  try {
    return fromBase64(base64.replace(/\s+/g, ""));
  } catch {
    throw damagedXml(`${name} is not canonical base64`);
  }
}

function damagedXml(detail: string): FormatError {
  return new FormatError("ERR_KEY_FORMAT", `damaged RSAKeyValue: ${detail}`);
}

const STRONG_NAME_HEADER = 12;

const MAGIC_BYTES = 4;
const PRIVATE_MAGICS = new Set([
  ...["RSA2", "RSA3", "ECK2", "ECK4", "ECK6", "ECS2", "ECS4", "ECS6"],
  ...["ECKV", "ECDV"], // The curve is named beside the blob.
]);
const GENERIC_MAGICS = new Set(["ECKP", "ECDP"]);
/** By the magic without its third letter: K for ECDH, S for ECDSA. */
const CNG_CURVES: ReadonlyMap<string, EcCurve> = new Map([
  ["EC1", "P-256"],
  ["EC3", "P-384"],
  ["EC5", "P-521"],
]);

const RSA_KEY_VALUE =
  /^(?:<\?xml[^<>]{0,200}\?>\s*)?<RSAKeyValue(?:\s+xmlns="[^"<>]{0,200}")?\s*>([\s\S]*)<\/RSAKeyValue>$/;
const ELEMENT = /^<([A-Za-z]{1,20})>([A-Za-z0-9+/=\s]*)<\/\1>/;
const PUBLIC_ELEMENTS = new Set(["Modulus", "Exponent"]);
const PRIVATE_ELEMENTS = new Set(["D", "P", "Q", "DP", "DQ", "InverseQ"]);
