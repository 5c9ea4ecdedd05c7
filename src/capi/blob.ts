/**
 * CryptoAPI's key blobs, bytes ↔ values: what `CryptExportKey` writes and `CryptImportKey` takes. Pure
 * and strict, no keys used: what parses encodes to the same bytes, and nothing else parses.
 *
 * Every blob starts with a BLOBHEADER: `bType`, `bVersion` 02, two bytes reserved, and the ALG_ID of the
 * key inside. The RSA numbers after it are little-endian; the values here have them big-endian, as the
 * rest of the world and PKCS#11 do.
 */
import { concat, Cursor, toHex } from "../bytes.js";
import { FormatError, UnsupportedError } from "../errors.js";
import type { RsaPublicKey } from "../keys/key.js";
import { publicKeyFromRsa, requireExchange, rsaNumbers } from "../keys/public-key.js";
import { privateKeyAsRecipient } from "../keys/refusals.js";
import { Secret } from "../secret.js";
import {
  ALGORITHMS,
  algorithmOf,
  CALG_RSA_KEYX,
  CALG_RSA_SIGN,
  fitsAlgorithm,
  hexId,
  type SessionAlgorithm,
  type SessionKey,
} from "./algorithms.js";
import { readU32le, reversed, u32le } from "./little-endian.js";

/** `AT_KEYEXCHANGE` or `AT_SIGNATURE`: which of a user's two key pairs. */
export type KeyUse = "exchange" | "signature";

/** A PUBLICKEYBLOB. */
export interface PublicKeyBlob {
  readonly use: KeyUse;
  readonly publicKey: RsaPublicKey;
}

/** A SIMPLEBLOB: a session key encrypted under an exchange key. It doesn't say whose, nor how. */
export interface SimpleBlob {
  readonly algorithm: SessionAlgorithm;
  /** The RSA ciphertext, big-endian, as long as the modulus: what `C_UnwrapKey` takes. */
  readonly wrapped: Uint8Array;
}

export type BlobKind = "simple" | "public" | "private" | "plaintext";

/** The kind of a blob by its first bytes, or `undefined`: for telling files apart. */
export function blobKind(bytes: Uint8Array): BlobKind | undefined {
  const [type, version, low, high] = bytes;
  if (bytes.length < HEADER_BYTES || version !== VERSION || low !== 0 || high !== 0)
    return undefined;
  return KINDS.find((kind) => BLOB_TYPES[kind] === type);
}

/**
 * The value of a PUBLICKEYBLOB.
 *
 * @throws FormatError `ERR_BLOB`, `ERR_TRUNCATED`, `ERR_TRAILING`; `ERR_KEY`: numbers that can't be an
 *   RSA key; `ERR_PRIVATE_KEY_AS_RECIPIENT`: a PRIVATEKEYBLOB.
 * @throws UnsupportedError `ERR_KEY_SIZE`.
 */
export function parsePublicKeyBlob(bytes: Uint8Array): PublicKeyBlob {
  if (blobKind(bytes) === "private") throw privateKeyAsRecipient("a PRIVATEKEYBLOB");
  const cursor = new Cursor(bytes, "PUBLICKEYBLOB");
  const id = readHeader(cursor, "public");
  const use = USES.find((name) => USE_IDS[name] === id);
  if (use === undefined) throw malformed(`ALG_ID ${hexId(id)} is none of an RSA key's`);

  const magic = cursor.take(4);
  if (toHex(magic) !== RSA1) throw malformed(`magic is ${toHex(magic)} instead of "RSA1"`);
  const bits = readU32le(cursor);
  if (bits % 8 !== 0 || bits === 0 || bits > MAX_MODULUS_BITS) {
    throw malformed(`bitlen ${bits} is not a multiple of 8 up to ${MAX_MODULUS_BITS}`);
  }
  const exponent = reversed(cursor.take(4));
  const modulus = reversed(cursor.take(bits / 8));
  cursor.end();
  const publicKey = publicKeyFromRsa(modulus, exponent);
  if (publicKey.bits !== bits) {
    throw malformed(`modulus has ${publicKey.bits} bits, bitlen says ${bits}`);
  }
  return { use, publicKey };
}

/**
 * The PUBLICKEYBLOB of an RSA key.
 *
 * @throws UnsupportedError `ERR_KEY_SIZE`: the format has 32 bits for the exponent, and whole bytes for
 *   the modulus.
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
    header("public", USE_IDS[use]),
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
  if (use === "signature") {
    throw new UnsupportedError(
      "ERR_SIGN_ONLY",
      "the PUBLICKEYBLOB is of a signature key (CALG_RSA_SIGN), which can't receive",
      { hint: "Ask for the other one: the peer exports it with AT_KEYEXCHANGE." },
    );
  }
  requireExchange(publicKey, options);
  return publicKey;
}

/**
 * The value of a SIMPLEBLOB. Its payload is as long as some RSA modulus; whether of the right key, only
 * the key's owner can say.
 *
 * @throws FormatError `ERR_BLOB`, `ERR_TRUNCATED`, `ERR_TRAILING`.
 * @throws UnsupportedError `ERR_ALGORITHM`: a session key of a cipher the project doesn't know.
 */
export function parseSimpleBlob(bytes: Uint8Array): SimpleBlob {
  const cursor = new Cursor(bytes, "SIMPLEBLOB");
  const algorithm = algorithmOf(readHeader(cursor, "simple"));
  const wrapping = readU32le(cursor);
  if (wrapping !== CALG_RSA_KEYX) {
    throw malformed(`session key is wrapped with ALG_ID ${hexId(wrapping)}, not CALG_RSA_KEYX`);
  }
  const payload = cursor.take(Math.max(cursor.left, MIN_MODULUS_BYTES));
  if (payload.length > MAX_MODULUS_BITS / 8) {
    throw new FormatError("ERR_TRAILING", `a payload of ${payload.length} bytes is no RSA result`);
  }
  return { algorithm, wrapped: reversed(payload) };
}

export function encodeSimpleBlob({ algorithm, wrapped }: SimpleBlob): Uint8Array<ArrayBuffer> {
  return concat(
    header("simple", ALGORITHMS[algorithm].id),
    u32le(CALG_RSA_KEYX),
    reversed(wrapped),
  );
}

/**
 * The key of a PLAINTEXTKEYBLOB, in cipher order. The blob is a secret; no message quotes any of it.
 *
 * @throws FormatError `ERR_BLOB`, `ERR_TRUNCATED`, `ERR_TRAILING`.
 * @throws UnsupportedError `ERR_ALGORITHM`.
 */
export function parsePlaintextKeyBlob(bytes: Uint8Array): SessionKey {
  const cursor = new Cursor(bytes, "PLAINTEXTKEYBLOB");
  const algorithm = algorithmOf(readHeader(cursor, "plaintext"));
  const length = readU32le(cursor);
  if (!fitsAlgorithm(algorithm, length)) {
    throw malformed(`a key of ${length} bytes can't be one of ${algorithm}`);
  }
  const key = cursor.take(length);
  cursor.end();
  return { algorithm, bytes: new Secret(new Uint8Array(key)) };
}

/** The key in the clear. Only for handing a key to a program on the same machine. */
export function encodePlaintextKeyBlob({ algorithm, bytes }: SessionKey): Secret {
  const id = ALGORITHMS[algorithm].id;
  return new Secret(concat(header("plaintext", id), u32le(bytes.length), bytes.expose()));
}

// ── The header ──────────────────────────────────────────────────────────────────────────────────

function header(kind: BlobKind, id: number): Uint8Array {
  return concat(Uint8Array.of(BLOB_TYPES[kind], VERSION, 0, 0), u32le(id));
}

/** Reads the header of a blob that must be of `kind`; returns the ALG_ID. */
function readHeader(cursor: Cursor, kind: BlobKind): number {
  const type = cursor.u8();
  if (type !== BLOB_TYPES[kind]) {
    throw malformed(`bType is 0x${toHex(Uint8Array.of(type))}, not ${NAMES[kind]}'s`);
  }
  const version = cursor.u8();
  if (version !== VERSION) throw malformed(`bVersion is ${version} instead of ${VERSION}`);
  if (cursor.u16() !== 0) throw malformed("the reserved bytes are not zero");
  return readU32le(cursor);
}

function malformed(detail: string): FormatError {
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

const USE_IDS: Readonly<Record<KeyUse, number>> = {
  exchange: CALG_RSA_KEYX,
  signature: CALG_RSA_SIGN,
};
const USES = Object.keys(USE_IDS) as readonly KeyUse[];

const RSA1_BYTES = Uint8Array.of(0x52, 0x53, 0x41, 0x31);
const RSA1 = toHex(RSA1_BYTES);

/** The providers make keys of 384 to 16,384 bits; OpenSSL computes with 512 and more. */
const MIN_MODULUS_BYTES = 64;
const MAX_MODULUS_BITS = 16_384;
