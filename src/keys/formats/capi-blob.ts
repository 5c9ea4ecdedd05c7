/**
 * CryptoAPI's blobs for public keys, bytes ↔ values: the BLOBHEADER that every blob starts with
 * (`bType`, `bVersion` 02, two reserved bytes, the ALG_ID of the key inside), and the PUBLICKEYBLOB
 * that `CryptExportKey` and `CryptImportKey` use for a public key. The other blobs are in src/capi.
 *
 * Parsing is strict: it accepts only what encodes to the same bytes again. The RSA numbers in a
 * blob are little-endian; the values here are big-endian, as in PKCS#11 and everywhere else.
 */
import { concat, Cursor, toHex } from "../../bytes.js";
import { FormatError, UnsupportedError } from "../../errors.js";
import type { RsaPublicKey } from "../key.js";
import { readU32le, reversed, u32le } from "./little-endian.js";
import { publicKeyFromRsa, rsaNumbers } from "../public-key.js";
import { requireExchange } from "../recipient-strength.js";
import { privateKeyAsRecipient } from "../refusals.js";

/** `AT_KEYEXCHANGE` or `AT_SIGNATURE`: which of a user's two key pairs. */
export type KeyUse = "exchange" | "signature";

/** A PUBLICKEYBLOB. */
export interface PublicKeyBlob {
  readonly use: KeyUse;
  readonly publicKey: RsaPublicKey;
}

export type BlobKind = "simple" | "public" | "private" | "plaintext";

/**
 * The kind of a blob by its first bytes, to detect a file's form; `undefined` if it is not a blob.
 */
export function blobKind(bytes: Uint8Array): BlobKind | undefined {
  const [type, version, low, high] = bytes;
  if (bytes.length < HEADER_BYTES || version !== VERSION || low !== 0 || high !== 0)
    return undefined;
  return KINDS.find((kind) => BLOB_TYPES[kind] === type);
}

/**
 * The value of a PUBLICKEYBLOB.
 *
 * @throws FormatError `ERR_BLOB`, `ERR_TRUNCATED`, `ERR_TRAILING`; `ERR_KEY`: numbers that can't be
 *   an RSA key; `ERR_PRIVATE_KEY_AS_RECIPIENT`: a PRIVATEKEYBLOB.
 * @throws UnsupportedError `ERR_KEY_SIZE`.
 */
export function parsePublicKeyBlob(bytes: Uint8Array): PublicKeyBlob {
  if (blobKind(bytes) === "private") throw privateKeyAsRecipient("a PRIVATEKEYBLOB");
  const cursor = new Cursor(bytes, "PUBLICKEYBLOB");
  const id = readBlobHeader(cursor, "public");
  const use = USES.find((name) => USE_IDS[name] === id);
  if (use === undefined) throw malformedBlob(`ALG_ID ${hexId(id)} is not one for RSA keys`);

  const magic = cursor.take(4);
  if (toHex(magic) !== RSA1) throw malformedBlob(`magic is ${toHex(magic)} instead of "RSA1"`);
  const bits = readU32le(cursor);
  if (bits % 8 !== 0 || bits === 0 || bits > MAX_MODULUS_BITS) {
    throw malformedBlob(`bitlen ${bits} is not a multiple of 8 up to ${MAX_MODULUS_BITS}`);
  }
  const exponent = reversed(cursor.take(4));
  const modulus = reversed(cursor.take(bits / 8));
  cursor.end();
  const publicKey = publicKeyFromRsa(modulus, exponent);
  if (publicKey.bits !== bits) {
    throw malformedBlob(`modulus has ${publicKey.bits} bits, bitlen says ${bits}`);
  }
  return { use, publicKey };
}

/**
 * The PUBLICKEYBLOB of an RSA key.
 *
 * @throws UnsupportedError `ERR_KEY_SIZE`: the format has 32 bits for the exponent, and whole bytes
 *   for the modulus.
 */
export function encodePublicKeyBlob({ use, publicKey }: PublicKeyBlob): Uint8Array<ArrayBuffer> {
  const { modulus, exponent } = rsaNumbers(publicKey);
  if (exponent.length > 4) {
    throw new UnsupportedError(
      "ERR_KEY_SIZE",
      `a PUBLICKEYBLOB has no room for the exponent 0x${toHex(exponent)}`,
    );
  }
  if (publicKey.bits % 8 !== 0) {
    throw new UnsupportedError(
      "ERR_KEY_SIZE",
      `a PUBLICKEYBLOB can't hold a modulus of ${publicKey.bits} bits: not whole bytes`,
    );
  }
  const padded = concat(reversed(exponent), new Uint8Array(4 - exponent.length));
  return concat(
    blobHeader("public", USE_IDS[use]),
    RSA1_BYTES,
    u32le(publicKey.bits),
    padded,
    reversed(modulus),
  );
}

/**
 * The key of a PUBLICKEYBLOB as one that session keys can be sent to.
 *
 * @throws UnsupportedError `ERR_SIGN_ONLY`: an AT_SIGNATURE key; `ERR_KEY_SIZE`.
 * @throws PolicyError `ERR_WEAK_KEY`, `ERR_ROCA`.
 */
export function requireExchangeBlob(
  { use, publicKey }: PublicKeyBlob,
  options: { allowWeak?: boolean } = {},
): RsaPublicKey {
  if (use === "signature") throw signatureBlob();
  requireExchange(publicKey, options);
  return publicKey;
}

/** The error for a signature key given as a recipient. */
export function signatureBlob(): UnsupportedError {
  return new UnsupportedError(
    "ERR_SIGN_ONLY",
    "the PUBLICKEYBLOB holds a signature key (CALG_RSA_SIGN), which can't receive",
    { hint: "ask the peer for the exchange key, exported with AT_KEYEXCHANGE" },
  );
}

// ── The header ──

export function blobHeader(kind: BlobKind, id: number): Uint8Array {
  return concat(Uint8Array.of(BLOB_TYPES[kind], VERSION, 0, 0), u32le(id));
}

/** Such as `0x6610`. */
export function hexId(id: number): string {
  return `0x${id.toString(16).padStart(4, "0")}`;
}

/** Reads the header of a blob that must be of `kind`; returns the ALG_ID. */
export function readBlobHeader(cursor: Cursor, kind: BlobKind): number {
  const type = cursor.u8();
  if (type !== BLOB_TYPES[kind]) {
    throw malformedBlob(`bType is 0x${toHex(Uint8Array.of(type))}, not ${NAMES[kind]}'s`);
  }
  const version = cursor.u8();
  if (version !== VERSION) throw malformedBlob(`bVersion is ${version} instead of ${VERSION}`);
  if (cursor.u16() !== 0) throw malformedBlob("the reserved bytes are not zero");
  return readU32le(cursor);
}

export function malformedBlob(detail: string): FormatError {
  return new FormatError("ERR_BLOB", `not a CryptoAPI key blob of that kind: ${detail}`);
}

const HEADER_BYTES = 8;
const VERSION = 2;

/** `bType` (wincrypt.h). */
const BLOB_TYPES: Readonly<Record<BlobKind, number>> = {
  simple: 0x01,
  public: 0x06,
  private: 0x07,
  plaintext: 0x08,
};
const KINDS = Object.keys(BLOB_TYPES) as readonly BlobKind[];
const NAMES: Readonly<Record<BlobKind, string>> = {
  simple: "a SIMPLEBLOB",
  public: "a PUBLICKEYBLOB",
  private: "a PRIVATEKEYBLOB",
  plaintext: "a PLAINTEXTKEYBLOB",
};

/** `CALG_RSA_KEYX` and `CALG_RSA_SIGN`: what a key pair is for. */
export const CALG_RSA_KEYX = 0xa400;
export const CALG_RSA_SIGN = 0x2400;

const USE_IDS: Readonly<Record<KeyUse, number>> = {
  exchange: CALG_RSA_KEYX,
  signature: CALG_RSA_SIGN,
};
const USES = Object.keys(USE_IDS) as readonly KeyUse[];

const RSA1_BYTES = Uint8Array.of(0x52, 0x53, 0x41, 0x31);
const RSA1 = toHex(RSA1_BYTES);

export const MAX_MODULUS_BITS = 16_384;
