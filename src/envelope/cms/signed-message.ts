/**
 * A signed message in any of its forms: a CMS message, binary or as PEM, or a signed mail (RFC 8551
 * §3.5). What it holds is passed on as it stands, and checked at the end.
 */
import { BerReader } from "../../asn1/ber-reader.js";
import { TAG } from "../../asn1/der.js";
import { defined } from "../../defined.js";
import { FormatError, UsageError } from "../../errors.js";
import type { SignatureDigest } from "../../keys/signature-scheme.js";
import { enterMail, mailAhead, type SignedMail } from "../../mime/mail.js";
import { Reader } from "../../stream.js";
import { armorLabel, dearmored } from "../armor.js";
import type { SignaturePolicy } from "./check-signer.js";
import { CONTENT_TYPES } from "./cms-oids.js";
import { enterContentInfo, leaveContentInfo } from "./content-info.js";
import { ContentWatch } from "./signed-content.js";
import { SignedData, type UncheckedParts } from "./signed-data.js";

/** A signed message whose content comes next. */
export interface BegunSigned {
  readonly contentType: string;
  /** Of a mail, the addresses in its `From`. */
  readonly from?: readonly string[];
  /** Sees the content as it passes. */
  readonly watch: ContentWatch;
  readonly content: AsyncIterable<Uint8Array>;
  /** What follows the content; nothing of it is checked. */
  rest(): Promise<UncheckedParts>;
}

/**
 * Reads up to the content.
 *
 * @throws as `openSigned`
 */
export async function beginSignedMessage(
  reader: Reader,
  policy: SignaturePolicy,
  reuse = false,
): Promise<BegunSigned> {
  const mail = (await isMail(reader)) ? await mailAhead(reader) : undefined;
  if (mail?.kind === "other") throw notSigned(`a mail of type ${mail.type} is not signed`);
  if (mail !== undefined) await enterMail(reader, mail);
  if (mail?.kind === "signed") return beginSignedMail(reader, mail, policy);

  const { ber, signed } = await beginSignedData(reader, policy);
  if (signed.isDetached) {
    const { signers } = await signed.rest();
    if (signers.length === 0) throw notSigned("a CMS message of certificates is not signed");
    throw new UsageError("ERR_DETACHED", "it is a signature alone, without what is signed", {
      hint: "name the signed file as well: p11seal verify --content FILE SIGNATURE",
    });
  }
  return {
    ...begunSigned(signed, () => leaveContentInfo(ber), reuse),
    ...defined({ from: mail?.from }),
  };
}

/**
 * The content of a SignedData that holds one; `leave` leaves what is around the SignedData.
 *
 * @param reuse - a chunk of the content holds only until the next one is asked for
 */
export function begunSigned(
  signed: SignedData,
  leave: () => Promise<void>,
  reuse = false,
): BegunSigned {
  const watch = new ContentWatch(signed.digests);
  return {
    contentType: signed.contentType,
    watch,
    content: signed.content(watch, reuse),
    async rest() {
      const parts = await signed.rest();
      await leave();
      return parts;
    },
  };
}

/** `multipart/signed`: which hashes the signature uses is only known after the content. */
export function beginSignedMail(
  reader: Reader,
  mail: SignedMail,
  policy: SignaturePolicy,
): BegunSigned {
  const { allowLegacy = false } = policy;
  const digests = allowLegacy ? ALL_DIGESTS : ALL_DIGESTS.filter((name) => name !== "sha1");
  const named = mail.micalg.map((name) => name.replace("-", ""));
  const likely = digests.filter((name) => named.includes(name));
  const watch = new ContentWatch(digests, { anyLineEnds: true, likely });
  return {
    contentType: CONTENT_TYPES.data,
    from: mail.from,
    watch,
    content: seen(reader, watch),
    async rest() {
      const { ber, signed } = await beginSignedData(new Reader(await mail.signature()), policy);
      if (!signed.isDetached || signed.contentType !== CONTENT_TYPES.data) {
        throw notSigned("the signature of the mail is not one over a mail");
      }
      const parts = await signed.rest();
      await leaveContentInfo(ber);
      return parts;
    },
  };
}

async function* seen(
  reader: Reader,
  watch: ContentWatch,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of pieces(reader)) {
    watch.see(chunk);
    yield chunk;
  }
}

/** True if a header field comes first (RFC 5322 §2.2). */
async function isMail(reader: Reader): Promise<boolean> {
  const start = Buffer.from(await reader.peek(64)).toString("latin1");
  return /^[!-9;-~]+:/.test(start);
}

/**
 * The SignedData of a CMS message, up to its content.
 *
 * @throws FormatError `ERR_NOT_SIGNED_DATA`, `ERR_BER`; AuthenticationError `ERR_TRUNCATED`
 */
export async function beginSignedData(
  reader: Reader,
  policy: SignaturePolicy,
): Promise<{ readonly ber: BerReader; readonly signed: SignedData }> {
  const label = await armorLabel(reader);
  if (label !== undefined && LABELS.has(label)) reader.decode((text) => dearmored(text, label));
  const ber = new BerReader(reader, "signed message");
  if ((await ber.tag()) !== TAG.sequence) throw notSigned("it is no CMS message");
  const type = await enterContentInfo(ber);
  if (type !== CONTENT_TYPES.signedData)
    throw notSigned(`a CMS message of type ${type} is not signed`);
  return { ber, signed: await SignedData.begin(ber, policy) };
}

function notSigned(message: string): FormatError {
  return new FormatError("ERR_NOT_SIGNED_DATA", message, {
    hint: "signed messages and signatures end in .p7m, .p7s or .pem; encrypted ones are opened first",
  });
}

/** What `reader` has left. */
export async function* pieces(reader: Reader): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const chunk = await reader.upTo(PIECE_BYTES);
    if (chunk.length > 0) yield chunk;
    if (chunk.length < PIECE_BYTES) return;
  }
}

/** What stands after BEGIN: RFC 7468 §8 and §9, and what older software writes. */
const LABELS: ReadonlySet<string> = new Set([
  "CMS",
  "PKCS7",
  "PKCS #7 SIGNED DATA",
  "SIGNED MESSAGE",
]);

const ALL_DIGESTS: readonly SignatureDigest[] = ["sha256", "sha384", "sha512", "sha224", "sha1"];

const PIECE_BYTES = 256 * 1024;
