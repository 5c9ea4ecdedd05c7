/**
 * A CMS message as it is written: the ciphers for its content, and the content encrypted as it
 * passes, with what stands around it.
 *
 * Short content is written in DER, whose lengths come first; longer content in BER, in pieces, with
 * lengths that are not stated in advance.
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { derAlgorithm } from "../../asn1/algorithm-identifier.js";
import { der, derHeader, TAG } from "../../asn1/der.js";
import { derOid } from "../../asn1/oid.js";
import { concat } from "../../bytes.js";
import { UnsupportedError } from "../../errors.js";
import type { Secret } from "../../secret.js";
import type { Reader } from "../../stream.js";
import { AES_256_CBC_OID, AES_256_GCM_OID, CONTENT_TYPES } from "./cms-oids.js";
import { GCM_TAG_BYTES, MAX_GCM_BYTES } from "./content-encryption.js";

/** Content up to this length is written in DER: all readers take it, and some take nothing else. */
export const MAX_DER_CONTENT_BYTES = 2 ** 20;
/** Longer content is cut into octet strings of this length. */
export const PIECE_BYTES = 64 * 1024;

/** A content encryption that has begun, with a key that nobody else has. */
export interface Encryption {
  /** ContentType's OID of the message. */
  readonly messageType: string;
  /** AlgorithmIdentifier, DER. */
  readonly algorithm: Uint8Array;
  /** Most bytes of content. */
  readonly most: number;
  update(content: Uint8Array): Uint8Array;
  /** The last of the ciphertext. */
  final(): Uint8Array;
  /** What stands behind the encrypted content; to be called after `final`. */
  trailer(): Uint8Array;
}

/** AES-256-GCM; the length of the tag is stated, as its default is another (RFC 5084 §3.2). */
export function gcmEncryption(contentKey: Secret): Encryption {
  const nonce = randomBytes(GCM_NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", contentKey.expose(), nonce, {
    authTagLength: GCM_TAG_BYTES,
  });
  const tagLength = der(TAG.integer, Uint8Array.of(GCM_TAG_BYTES));
  const parameters = der(TAG.sequence, der(TAG.octetString, nonce), tagLength);
  return {
    messageType: CONTENT_TYPES.authEnvelopedData,
    algorithm: derAlgorithm({ oid: AES_256_GCM_OID, parameters }),
    most: MAX_GCM_BYTES,
    update: (content) => cipher.update(content),
    final: () => cipher.final(),
    trailer: () => der(TAG.octetString, cipher.getAuthTag()),
  };
}

/** AES-256-CBC with the padding of RFC 5652 §6.3 (RFC 3565). */
export function cbcEncryption(contentKey: Secret): Encryption {
  const iv = randomBytes(CBC_IV_BYTES);
  const cipher = createCipheriv("aes-256-cbc", contentKey.expose(), iv);
  return {
    messageType: CONTENT_TYPES.envelopedData,
    algorithm: derAlgorithm({ oid: AES_256_CBC_OID, parameters: der(TAG.octetString, iv) }),
    most: Number.MAX_SAFE_INTEGER,
    update: (content) => cipher.update(content),
    final: () => cipher.final(),
    trailer: () => new Uint8Array(0),
  };
}

// ── How it is written ──

/**
 * The whole message.
 *
 * @param start - what stands before EncryptedContentInfo
 * @throws UnsupportedError `ERR_TOO_LONG`: more content than the cipher takes
 */
export async function* sealed(
  start: Uint8Array,
  encryption: Encryption,
  content: Reader,
): AsyncGenerator<Uint8Array, void, undefined> {
  const type = derOid(encryption.messageType);
  const inner = concat(derOid(CONTENT_TYPES.data), encryption.algorithm);
  const isShort = (await content.peek(MAX_DER_CONTENT_BYTES + 1)).length <= MAX_DER_CONTENT_BYTES;
  if (isShort) {
    const bytes = await content.upTo(MAX_DER_CONTENT_BYTES);
    const ciphertext = concat(encryption.update(bytes), encryption.final());
    const encrypted = der(TAG.sequence, inner, der(PRIMITIVE_0, ciphertext));
    const message = der(TAG.sequence, start, encrypted, encryption.trailer());
    yield der(TAG.sequence, type, der(CONSTRUCTED_0, message));
    return;
  }
  yield concat(OPEN_SEQUENCE, type, OPEN_0, OPEN_SEQUENCE, start, OPEN_SEQUENCE, inner, OPEN_0);
  // One buffer for all reads: a cipher is done with it when it returns.
  const buffer = new Uint8Array(Buffer.allocUnsafeSlow(READ_BYTES).buffer);
  for (let filled, written = 0; (filled = await content.into(buffer)) > 0; written += filled) {
    if (written + filled > encryption.most) throw tooLong(encryption);
    yield inPieces(encryption.update(buffer.subarray(0, filled)));
  }
  yield concat(inPieces(encryption.final()), end(2), encryption.trailer(), end(3));
}

/** Octet strings of at most `PIECE_BYTES`, one after the other. */
function inPieces(bytes: Uint8Array): Uint8Array {
  const count = Math.ceil(bytes.length / PIECE_BYTES);
  // Not by way of `der`, so that the bulk is copied once.
  const pieces = Buffer.allocUnsafeSlow(bytes.length + count * MAX_PIECE_HEADER_BYTES);
  let length = 0;
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    const header = derHeader(TAG.octetString, piece.length);
    pieces.set(header, length);
    pieces.set(piece, length + header.length);
    length += header.length + piece.length;
  }
  return pieces.subarray(0, length);
}

/** Ends so many values whose lengths were not stated. */
function end(count: number): Uint8Array {
  return new Uint8Array(2 * count);
}

function tooLong({ most }: Encryption): UnsupportedError {
  return new UnsupportedError(
    "ERR_TOO_LONG",
    `a CMS message of AES-GCM holds at most ${most} bytes`,
    { hint: "seal in p11seal's own format, or cut the file in two" },
  );
}

/** `[0]`, primitive and constructed. */
const PRIMITIVE_0 = 0x80;
const CONSTRUCTED_0 = 0xa0;
/** The same, and SEQUENCE, with a length that is not stated (X.690 §8.1.3.6). */
const OPEN_0 = Uint8Array.of(CONSTRUCTED_0, 0x80);
const OPEN_SEQUENCE = Uint8Array.of(TAG.sequence, 0x80);

const GCM_NONCE_BYTES = 12;
const CBC_IV_BYTES = 16;
const MAX_PIECE_HEADER_BYTES = derHeader(TAG.octetString, PIECE_BYTES).length;
const READ_BYTES = 4 * PIECE_BYTES;
