/**
 * EnvelopedData (RFC 5652 §6) and AuthEnvelopedData (RFC 5083) as they are read: a header with the
 * recipients and the cipher, the encrypted content in a stream, and what follows it.
 */
import { createHash } from "node:crypto";
import type { BerReader } from "../../asn1/ber-reader.js";
import { readAlgorithm } from "../../asn1/algorithm-identifier.js";
import { DerReader, TAG } from "../../asn1/der.js";
import { oidText } from "../../asn1/oid.js";
import { concat } from "../../bytes.js";
import { AuthenticationError, FormatError, UnsupportedError } from "../../errors.js";
import type { Secret } from "../../secret.js";
import { ATTRIBUTE_TYPE, readAttributes, soleValue } from "./attributes.js";
import { CONTENT_TYPES } from "./cms-oids.js";
import {
  ContentDecryption,
  GCM_TAG_BYTES,
  parseContentCipher,
  type ContentCipher,
} from "./content-encryption.js";
import { parseRecipientInfos, type RecipientInfoValue } from "./recipient-infos.js";

/** All that comes before the content. */
export interface EnvelopedHeader {
  /** True of AuthEnvelopedData: the content has a tag. */
  readonly isAuthenticated: boolean;
  readonly version: number;
  readonly recipients: readonly RecipientInfoValue[];
  /** Of what is encrypted, dotted. */
  readonly contentType: string;
  readonly cipher: ContentCipher;
  /** SHA-256 of recipients and cipher: CMS gives messages no name. */
  readonly digest: Uint8Array;
  /** Bytes before the content. */
  readonly headerBytes: number;
}

/**
 * Reads the header; `ber` stands before the content, which is to be read next.
 *
 * @param type - the content type that ContentInfo names
 * @throws FormatError `ERR_CMS`, `ERR_BER`, `ERR_DER`, `ERR_HEADER_SIZE`; PolicyError
 *   `ERR_TAG_LENGTH`; UnsupportedError `ERR_ALGORITHM`; AuthenticationError `ERR_TRUNCATED`
 */
export async function readEnvelopedHeader(ber: BerReader, type: string): Promise<EnvelopedHeader> {
  const isAuthenticated = type === CONTENT_TYPES.authEnvelopedData;
  await ber.enter(TAG.sequence);
  const version = new DerReader(await ber.der(TAG.integer), WHAT).count();
  if (!(isAuthenticated ? [0] : [0, 2, 3, 4]).includes(version)) {
    throw new FormatError("ERR_CMS", `the CMS message's envelope has version ${version}`);
  }
  // Certificates and CRLs of the originator, for static keys.
  if ((await ber.tag()) === ORIGINATOR_INFO) await ber.der();
  const recipientSet = await ber.der(TAG.set);
  const recipients = parseRecipientInfos(recipientSet);
  await ber.enter(TAG.sequence);
  const contentType = oidText(new DerReader(await ber.der(TAG.oid), WHAT).read(TAG.oid));
  const algorithm = await ber.der(TAG.sequence);
  const cipher = parseContentCipher(readAlgorithm(new DerReader(algorithm, WHAT)), isAuthenticated);
  if ((await ber.tag()) === undefined) {
    throw new UnsupportedError("ERR_CMS_DETACHED", "the CMS message's content is not in it", {
      hint: "encrypted content that is sent apart can't be opened",
    });
  }
  const digest = createHash("sha256").update(recipientSet).update(algorithm).digest();
  return {
    ...{ isAuthenticated, version, recipients, contentType, cipher },
    ...{ digest: new Uint8Array(digest), headerBytes: ber.offset },
  };
}

/**
 * The content, decrypted. Nothing of it is known to be authentic before the stream has ended.
 *
 * @param leave - leaves what is around the envelope
 * @param contentKey - as long as the cipher's; it is wiped
 * @throws AuthenticationError `ERR_NOT_AUTHENTIC`, `ERR_TRUNCATED`; FormatError `ERR_BER`,
 *   `ERR_CMS`, `ERR_TRAILING`
 */
export async function* openContent(
  ber: BerReader,
  { isAuthenticated, contentType, cipher }: EnvelopedHeader,
  contentKey: Secret,
  leave: () => Promise<void>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const decryption = new ContentDecryption(cipher, contentKey);
  try {
    for await (const ciphertext of ber.content(CONTENT_TAG, true)) {
      const plaintext = decryption.update(ciphertext);
      if (plaintext.length > 0) yield plaintext;
    }
    await ber.leave();
    const { tag, aad } = isAuthenticated ? await readTag(ber, contentType) : {};
    if ((await ber.tag()) === UNPROTECTED[Number(isAuthenticated)]) await ber.der();
    await ber.leave();
    await leave();
    const last = decryption.finish(tag, aad);
    if (last === null) throw notAuthentic();
    if (last.length > 0) yield last;
  } finally {
    decryption.wipe();
  }
}

/** The authenticated attributes as they were authenticated, if there are any, and the tag. */
async function readTag(
  ber: BerReader,
  contentType: string,
): Promise<{ readonly tag: Uint8Array; readonly aad?: Uint8Array }> {
  const attributes = (await ber.tag()) === AUTH_ATTRIBUTES ? await ber.der() : undefined;
  const tag = new DerReader(await ber.der(TAG.octetString), WHAT).read(TAG.octetString);
  if (tag.length !== GCM_TAG_BYTES) {
    throw new FormatError("ERR_CMS", `the CMS message's tag has ${tag.length} bytes, not 16`);
  }
  if (attributes === undefined) {
    // RFC 5083 §2.1 demands them for all but data: nothing else authenticates the type.
    if (contentType !== CONTENT_TYPES.data) {
      throw new FormatError("ERR_CMS", "the CMS message does not authenticate its content's type");
    }
    return { tag };
  }
  // RFC 5083 §2.2: authenticated with the tag of SET OF.
  const aad = concat(Uint8Array.of(TAG.set), attributes.subarray(1));
  requireContentType(aad, contentType);
  return { tag, aad };
}

/**
 * One attribute must name the content's type (RFC 5083 §2.1), unless that is data, for which
 * BouncyCastle leaves it out.
 */
function requireContentType(set: Uint8Array, contentType: string): void {
  const what = "the CMS message's authenticated attributes";
  const attributes = readAttributes(new DerReader(set, what).read(TAG.set), what);
  const value = soleValue(attributes, ATTRIBUTE_TYPE.contentType);
  const named = value && oidText(new DerReader(value, what).read(TAG.oid));
  if (attributes.has(ATTRIBUTE_TYPE.messageDigest)) {
    throw new FormatError("ERR_CMS", `${what} hold a digest, which has no place there`);
  }
  if (named === contentType || (named === undefined && contentType === CONTENT_TYPES.data)) return;
  throw new FormatError("ERR_CMS", `${what} name another type of content`);
}

/** The one error between private key and content: what failed would help a forger. */
export function notAuthentic(): AuthenticationError {
  return new AuthenticationError(
    "ERR_NOT_AUTHENTIC",
    "the CMS message was altered, or its key is not the one that it was sealed with",
    { hint: "nothing of it was kept; ask the sender to send it again" },
  );
}

const WHAT = "the CMS message";

const ORIGINATOR_INFO = 0xa0;
/** `[0] IMPLICIT OCTET STRING`. */
const CONTENT_TAG = 0x80;
const AUTH_ATTRIBUTES = 0xa1;
/** Of EnvelopedData, of AuthEnvelopedData. */
const UNPROTECTED = [0xa1, 0xa2];
