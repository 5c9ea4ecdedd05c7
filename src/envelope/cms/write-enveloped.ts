/**
 * Messages sealed as CMS: AuthEnvelopedData with AES-256-GCM (RFC 5083, RFC 5084) or, in the
 * windows profile, EnvelopedData with AES-256-CBC (RFC 5652 §6), which vouches for nothing.
 *
 * Short content is written in DER, whose lengths come first; longer content in BER as it passes, in
 * pieces, with lengths that are not stated in advance. There is no header that could stand by
 * itself. Authenticated attributes are never written: many readers can't read them.
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { derAlgorithm } from "../../asn1/algorithm-identifier.js";
import { der, derHeader, TAG } from "../../asn1/der.js";
import { derOid } from "../../asn1/oid.js";
import { concat } from "../../bytes.js";
import { UnsupportedError, UsageError } from "../../errors.js";
import { Secret } from "../../secret.js";
import { Reader, remaining } from "../../stream.js";
import { asMailPart, cmsMail } from "../../mime/write-mail.js";
import type { BegunSealing, CmsSealOptions, SealOptions } from "../envelope.js";
import { derSetOf } from "./attributes.js";
import { AES_256_CBC_OID, AES_256_GCM_OID, CONTENT_TYPES } from "./cms-oids.js";
import { cmsMessageId } from "./message-id.js";
import { signData } from "./sign-data.js";
import { cmsAddressees, recipientInfo, version } from "./write-recipients.js";

/** Content up to this length is written in DER: all readers take it, and some take nothing else. */
export const MAX_DER_CONTENT_BYTES = 2 ** 20;
/** Longer content is cut into octet strings of this length. */
export const PIECE_BYTES = 64 * 1024;
/** More must not be encrypted under one nonce (SP 800-38D §5.2.1.1). */
const MAX_GCM_BYTES = 2 ** 36 - 32;

/** @throws as `cmsAddressees`; UsageError `ERR_FORMAT_OPTION` */
export function beginSealing(options: SealOptions): BegunSealing {
  refuseOptions(options);
  const addressees = cmsAddressees(options);
  const cms = options.cms ?? {};
  const contentKey = new Secret(new Uint8Array(randomBytes(CONTENT_KEY_BYTES)));
  try {
    const infos = addressees.map((addressee) => recipientInfo(addressee, contentKey));
    const recipientInfos = derSetOf(infos);
    const isForWindows = cms.profile === "windows";
    const encryption = isForWindows ? cbc(contentKey) : gcm(contentKey);
    // RFC 5652 §6.1: 0 if all RecipientInfos are version 0, as those of key transport by issuer.
    const isVersion0 = addressees.every(
      ({ publicKey, name }) => publicKey.type === "rsa" && name.kind === "issuer and serial",
    );
    const start = concat(version(isForWindows && !isVersion0 ? 2 : 0), recipientInfos);
    return {
      messageId: cmsMessageId(recipientInfos, encryption.algorithm),
      header: new Uint8Array(0),
      body: {
        kind: "stream",
        seal: (plaintext) => sealed(start, encryption, contentOf(plaintext, cms)),
      },
    };
  } finally {
    contentKey.wipe();
  }
}

function refuseOptions({ sender, segLog2 }: SealOptions): void {
  refuse(sender, "a sender without a certificate", "CMS messages are signed with a certificate");
  refuse(segLog2, "a segment size", "CMS messages have no segments");
}

function refuse(value: unknown, what: string, why: string): void {
  if (value === undefined) return;
  throw new UsageError("ERR_FORMAT_OPTION", `${what} for a CMS message`, { hint: why });
}

// ── What is encrypted ──

/**
 * The plaintext itself, a mail's part made of it, or a signed message in a mail's part. That keeps
 * its ContentInfo: a SignedData under its own content type would need authenticated attributes (RFC
 * 5083 §2.1), and nobody would find it (RFC 8551 §3.7 has it in a part).
 */
function contentOf(plaintext: Reader, { signer, smime }: CmsSealOptions): Reader {
  if (signer === undefined && smime === undefined) return plaintext;
  const part = smime === undefined ? remaining(plaintext) : asMailPart(plaintext, smime.name);
  return new Reader(signer === undefined ? part : cmsMail(signData(part, signer), "signed-data"));
}

// ── How it is encrypted ──

/** A content encryption that has begun, with a key that nobody else has. */
interface Encryption {
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
function gcm(contentKey: Secret): Encryption {
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
function cbc(contentKey: Secret): Encryption {
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

/** The whole message. `start` is what stands before EncryptedContentInfo. */
async function* sealed(
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
    if (written + filled > encryption.most) throw tooLong();
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

function tooLong(): UnsupportedError {
  return new UnsupportedError(
    "ERR_TOO_LONG",
    `a CMS message of AES-GCM holds at most ${MAX_GCM_BYTES} bytes`,
    { hint: "seal in p11seal's own format, or cut the file in two" },
  );
}

/** `[0]`, primitive and constructed. */
const PRIMITIVE_0 = 0x80;
const CONSTRUCTED_0 = 0xa0;
/** The same, and SEQUENCE, with a length that is not stated (X.690 §8.1.3.6). */
const OPEN_0 = Uint8Array.of(CONSTRUCTED_0, 0x80);
const OPEN_SEQUENCE = Uint8Array.of(TAG.sequence, 0x80);

const CONTENT_KEY_BYTES = 32;
const GCM_NONCE_BYTES = 12;
const GCM_TAG_BYTES = 16;
const CBC_IV_BYTES = 16;
const MAX_PIECE_HEADER_BYTES = derHeader(TAG.octetString, PIECE_BYTES).length;
const READ_BYTES = 4 * PIECE_BYTES;
