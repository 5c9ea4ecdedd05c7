/**
 * CryptoAPI's blobs of session keys, bytes ↔ values: what `CryptExportKey` writes and
 * `CryptImportKey` takes. Pure and strict, no keys used: what parses encodes to the same bytes, and
 * nothing else parses. The header and PUBLICKEYBLOB are in `keys/capi-blob.ts`, as a PUBLICKEYBLOB
 * is a key file like others.
 */
import { concat, Cursor } from "../bytes.js";
import { FormatError } from "../errors.js";
import {
  blobHeader,
  CALG_RSA_KEYX,
  hexId,
  malformedBlob,
  MAX_MODULUS_BITS,
  readBlobHeader,
} from "../keys/formats/capi-blob.js";
import { readU32le, reversed, u32le } from "../keys/formats/little-endian.js";
import { Secret } from "../secret.js";
import {
  ALGORITHMS,
  algorithmOf,
  fitsAlgorithm,
  type SessionAlgorithm,
  type SessionKey,
} from "./algorithms.js";

/** A SIMPLEBLOB: a session key encrypted under an exchange key. It doesn't say whose, nor how. */
export interface SimpleBlob {
  readonly algorithm: SessionAlgorithm;
  /** The RSA ciphertext, big-endian, as long as the modulus: what `C_UnwrapKey` takes. */
  readonly wrapped: Uint8Array;
}

/**
 * The value of a SIMPLEBLOB. Its payload is as long as some RSA modulus; whether of the right key,
 * only the key's owner can say.
 *
 * @throws FormatError `ERR_BLOB`, `ERR_TRUNCATED`, `ERR_TRAILING`.
 * @throws UnsupportedError `ERR_ALGORITHM`: a session key of a cipher the project doesn't know.
 */
export function parseSimpleBlob(bytes: Uint8Array): SimpleBlob {
  const cursor = new Cursor(bytes, "SIMPLEBLOB");
  const algorithm = algorithmOf(readBlobHeader(cursor, "simple"));
  const wrapping = readU32le(cursor);
  if (wrapping !== CALG_RSA_KEYX) {
    throw malformedBlob(`session key is wrapped with ALG_ID ${hexId(wrapping)}, not CALG_RSA_KEYX`);
  }
  const payload = cursor.take(Math.max(cursor.left, MIN_MODULUS_BYTES));
  if (payload.length > MAX_MODULUS_BITS / 8) {
    throw new FormatError("ERR_TRAILING", `a payload of ${payload.length} bytes is no RSA result`);
  }
  return { algorithm, wrapped: reversed(payload) };
}

export function encodeSimpleBlob({ algorithm, wrapped }: SimpleBlob): Uint8Array<ArrayBuffer> {
  return concat(
    blobHeader("simple", ALGORITHMS[algorithm].id),
    u32le(CALG_RSA_KEYX),
    reversed(wrapped),
  );
}

/**
 * The key of a PLAINTEXTKEYBLOB, in cipher order. The blob is a secret; no message quotes any of
 * it.
 *
 * @throws FormatError `ERR_BLOB`, `ERR_TRUNCATED`, `ERR_TRAILING`.
 * @throws UnsupportedError `ERR_ALGORITHM`.
 */
export function parsePlaintextKeyBlob(bytes: Uint8Array): SessionKey {
  const cursor = new Cursor(bytes, "PLAINTEXTKEYBLOB");
  const algorithm = algorithmOf(readBlobHeader(cursor, "plaintext"));
  const length = readU32le(cursor);
  if (!fitsAlgorithm(algorithm, length)) {
    throw malformedBlob(`a key of ${length} bytes can't be one of ${algorithm}`);
  }
  const key = cursor.take(length);
  cursor.end();
  return { algorithm, bytes: new Secret(new Uint8Array(key)) };
}

/** The key in the clear. Only for handing a key to a program on the same machine. */
export function encodePlaintextKeyBlob({ algorithm, bytes }: SessionKey): Secret {
  const id = ALGORITHMS[algorithm].id;
  return new Secret(concat(blobHeader("plaintext", id), u32le(bytes.length), bytes.expose()));
}

/** The providers make keys of 384 to 16,384 bits; OpenSSL computes with 512 and more. */
const MIN_MODULUS_BYTES = 64;
