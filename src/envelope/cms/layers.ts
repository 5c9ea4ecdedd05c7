/**
 * What a message, or the content of one, has next: an envelope, a signature, or neither. Messages
 * are nested: signed, then encrypted; or the other way round; as CMS types or as mail (RFC 8551
 * §3.7).
 */
import { BerReader } from "../../asn1/ber-reader.js";
import { berHeader, MAX_HEADER_BYTES } from "../../asn1/ber.js";
import { TAG } from "../../asn1/der.js";
import { FormatError, UnsupportedError } from "../../errors.js";
import { HEADER_START_BYTES, startsAsHeader } from "../../mime/header-fields.js";
import { enterMail, mailAhead, type Mail } from "../../mime/mail.js";
import type { Reader } from "../../stream.js";
import type { SignaturePolicy } from "./check-signer.js";
import { CONTENT_TYPES } from "./cms-oids.js";
import { enterContentInfo, leaveContentInfo } from "./content-info.js";
import { readEnvelopedHeader, type EnvelopedHeader } from "./enveloped.js";
import { SignedData } from "./signed-data.js";
import { beginSignedMail, begunSigned, type BegunSigned } from "./signed-message.js";

export type Layer = EnvelopedLayer | SignedLayer;

export interface EnvelopedLayer {
  readonly kind: "enveloped";
  /** Stands before the encrypted content. */
  readonly ber: BerReader;
  readonly header: EnvelopedHeader;
  /** Leaves what is around the envelope, and checks that nothing follows. */
  readonly leave: () => Promise<void>;
}

export interface SignedLayer {
  readonly kind: "signed";
  /** Its content comes next. */
  readonly begun: BegunSigned;
}

/**
 * The outermost layer: of a CMS message, or of a mail that is one.
 *
 * @throws FormatError `ERR_CMS`, `ERR_MAIL` and those of its parts; UnsupportedError
 *   `ERR_CMS_TYPE`; AuthenticationError `ERR_TRUNCATED`
 */
export async function outermostLayer(reader: Reader, policy: SignaturePolicy): Promise<Layer> {
  const mail = await mailIn(reader);
  if (mail === undefined) return cmsLayer(reader, policy);
  const layer = await mailLayer(reader, mail, policy);
  if (layer !== undefined) return layer;
  throw new UnsupportedError("ERR_CMS_TYPE", `a mail of type ${mail.type} is not encrypted`);
}

/** What the content of a layer is. Consumes nothing where it is no layer. */
export async function layerWithin(
  reader: Reader,
  contentType: string,
  policy: SignaturePolicy,
): Promise<Layer | undefined> {
  if (contentType === CONTENT_TYPES.data) {
    const mail = await mailIn(reader).catch(notAsMail);
    return mail && mailLayer(reader, mail, policy);
  }
  if (!LAYERS.has(contentType)) {
    if (!UNREADABLE.has(contentType)) return undefined;
    throw notSupported(contentType);
  }
  return (await isContentInfo(reader))
    ? cmsLayer(reader, policy, contentType)
    : bareLayer(new BerReader(reader, WHAT), contentType, policy, endOf);
}

/** True where content of this type is not a layer for sure, by its first bytes. */
export async function isPlain(reader: Reader, contentType: string): Promise<boolean> {
  if (contentType !== CONTENT_TYPES.data) return !LAYERS.has(contentType);
  return !startsAsHeader(await reader.peek(HEADER_START_BYTES));
}

async function mailIn(reader: Reader): Promise<Mail | undefined> {
  return startsAsHeader(await reader.peek(HEADER_START_BYTES)) ? mailAhead(reader) : undefined;
}

/** Content that only begins as a mail does is whatever it is. */
function notAsMail(error: unknown): undefined {
  if (!(error instanceof FormatError)) throw error;
  return undefined;
}

async function mailLayer(
  reader: Reader,
  mail: Mail,
  policy: SignaturePolicy,
): Promise<Layer | undefined> {
  if (mail.kind === "other") return undefined;
  await enterMail(reader, mail);
  if (mail.kind === "signed") {
    return { kind: "signed", begun: beginSignedMail(reader, mail, policy) };
  }
  return cmsLayer(reader, policy);
}

/** A ContentInfo, whose type must be `expected`, if that is given. */
async function cmsLayer(
  reader: Reader,
  policy: SignaturePolicy,
  expected?: string,
): Promise<Layer> {
  const ber = new BerReader(reader, WHAT);
  const type = await enterContentInfo(ber);
  if (expected !== undefined && type !== expected) {
    throw new FormatError("ERR_CMS", `${WHAT} announces another type of content than it has`);
  }
  return bareLayer(ber, type, policy, leaveContentInfo);
}

async function bareLayer(
  ber: BerReader,
  type: string,
  policy: SignaturePolicy,
  leaveAll: (ber: BerReader) => Promise<void>,
): Promise<Layer> {
  const leave = (): Promise<void> => leaveAll(ber);
  switch (type) {
    case CONTENT_TYPES.envelopedData:
    case CONTENT_TYPES.authEnvelopedData:
      return { kind: "enveloped", ber, header: await readEnvelopedHeader(ber, type), leave };
    case CONTENT_TYPES.signedData:
      return { kind: "signed", begun: await signedIn(ber, policy, leave) };
    default:
      throw notSupported(type);
  }
}

async function signedIn(
  ber: BerReader,
  policy: SignaturePolicy,
  leave: () => Promise<void>,
): Promise<BegunSigned> {
  const signed = await SignedData.begin(ber, policy);
  if (!signed.isDetached) return begunSigned(signed, leave);
  throw new UnsupportedError("ERR_CMS_DETACHED", "it is a signature alone, or certificates", {
    hint: "check a signature with: p11seal verify --content FILE SIGNATURE",
  });
}

/** True where a SEQUENCE begins with a type, false where it begins with a version. */
async function isContentInfo(reader: Reader): Promise<boolean> {
  const start = await reader.peek(MAX_HEADER_BYTES + 1);
  const header = berHeader(start, 0, WHAT);
  return header?.tag === TAG.sequence && start[header.headerBytes] === TAG.oid;
}

function endOf(ber: BerReader): Promise<void> {
  return ber.end();
}

const WHAT = "the CMS message";

const LAYERS: ReadonlySet<string> = new Set([
  CONTENT_TYPES.signedData,
  CONTENT_TYPES.envelopedData,
  CONTENT_TYPES.authEnvelopedData,
]);

/** Other types of CMS, by what they hold. */
const NAMES: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.7.1": "data alone",
  "1.2.840.113549.1.7.5": "data with a digest",
  "1.2.840.113549.1.7.6": "data encrypted without recipients",
  "1.2.840.113549.1.9.16.1.2": "data with a MAC",
  "1.2.840.113549.1.9.16.1.9": "compressed data",
};

/** Those that are of no use to anybody as they are. */
const UNREADABLE: ReadonlySet<string> = new Set(Object.keys(NAMES));

function notSupported(type: string): UnsupportedError {
  const what = NAMES[type] ?? `content of type ${type}`;
  return new UnsupportedError("ERR_CMS_TYPE", `${WHAT} holds ${what}, which is not supported`, {
    hint: "what is opened is enveloped data (AuthEnvelopedData, EnvelopedData) and signed data",
  });
}
