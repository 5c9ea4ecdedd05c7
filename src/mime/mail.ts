/**
 * What a mail, or a part of one that was sealed, has for p11seal (S/MIME, RFC 8551 §3): a CMS
 * message, or content and a signature over it. Nothing else of mail is looked at: what a signature
 * or a seal covers is passed on as it stands, and never taken apart any further.
 */
import { defined } from "../defined.js";
import { FormatError, UnsupportedError } from "../errors.js";
import { chunks, collect, type Reader } from "../stream.js";
import { base64Decoded } from "./base64-lines.js";
import { parseFieldValue, type FieldValue } from "./content-type.js";
import { MAX_HEADER_BYTES, parseHeader, type HeaderFields } from "./header-fields.js";
import { SignedParts } from "./signed-parts.js";

export type Mail = CmsMail | SignedMail | OtherMail;

interface AnyMail {
  /** Length of the header, bytes, with the empty line that ends it. */
  readonly headerBytes: number;
  /** The media type, such as `text/plain`. */
  readonly type: string;
  /** The mail addresses in `From`, which nothing vouches for. */
  readonly from: readonly string[];
}

/** `application/pkcs7-mime`: a CMS message is the body. */
export interface CmsMail extends AnyMail {
  readonly kind: "cms";
  /** What the mail claims the message is, in lower case, such as `authenveloped-data`. */
  readonly smimeType?: string;
  /** The CMS message in the mail's body: in BER, without the transfer encoding. */
  decode(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
}

/** `multipart/signed` with a CMS signature (RFC 8551 §3.5.3). */
export interface SignedMail extends AnyMail {
  readonly kind: "signed";
  /** Names of hashes that the mail claims its signatures use, in lower case, such as `sha-256`. */
  readonly micalg: readonly string[];
  /** The signed content in the mail's body, exactly as it stands. */
  decode(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /**
   * The detached signature, in BER; to be called once the stream of `decode` has ended.
   *
   * @throws FormatError `ERR_MAIL`; UnsupportedError `ERR_MAIL_ENCODING`
   */
  signature(): Promise<Uint8Array>;
}

/** Of no use for p11seal. */
export interface OtherMail extends AnyMail {
  readonly kind: "other";
}

/**
 * What the mail is that `reader` has next. Consumes nothing.
 *
 * @throws FormatError `ERR_MAIL`: its header is malformed, or means different things to different
 *   programs; UnsupportedError `ERR_MAIL_ENCODING`
 */
export async function mailAhead(reader: Reader): Promise<Mail> {
  for (let length = 4096; ; length *= 4) {
    const most = Math.min(length, MAX_HEADER_BYTES + 1);
    const start = await reader.peek(most);
    const fields = parseHeader(start, start.length < most);
    if (fields !== undefined) return mailWith(fields);
  }
}

/** From here on, `reader` has what `decode` makes of the mail that `mailAhead` found. */
export async function enterMail(reader: Reader, mail: CmsMail | SignedMail): Promise<void> {
  await reader.exactly(mail.headerBytes, "the mail's header");
  reader.decode((body) => mail.decode(body));
}

function mailWith(fields: HeaderFields): Mail {
  const content = contentType(fields);
  const { value: type, parameters } = content;
  const about = { headerBytes: fields.bytes, type, from: addressesIn(fields.get("From") ?? "") };
  if (isCms(content, fields)) {
    const smimeType = parameters.get("smime-type")?.toLowerCase();
    const decode = transferDecoder(fields);
    return { kind: "cms", ...about, decode, ...defined({ smimeType }) };
  }
  const protocol = parameters.get("protocol")?.toLowerCase();
  if (type !== "multipart/signed" || !SIGNATURE_TYPES.has(protocol ?? "")) {
    return { kind: "other", ...about };
  }
  const parts = new SignedParts(parameters.get("boundary") ?? "");
  const micalg = (parameters.get("micalg") ?? "").toLowerCase().split(",");
  return {
    kind: "signed",
    ...about,
    micalg: micalg.map((name) => name.trim()).filter((name) => name !== ""),
    decode: (body) => parts.content(body),
    signature: () => signatureIn(parts),
  };
}

async function signatureIn({ signature }: SignedParts): Promise<Uint8Array> {
  const { fields, content } = signature;
  if (!SIGNATURE_TYPES.has(contentType(fields).value)) {
    throw new FormatError("ERR_MAIL", "the second part of the signed mail is not a signature");
  }
  return collect(transferDecoder(fields)(chunks(content)));
}

/** What a mail without the field has, too (RFC 2045 §5.2). */
function contentType(fields: HeaderFields): FieldValue {
  return parseFieldValue(fields.get("Content-Type") ?? "text/plain");
}

/** By its type, or, as gateways rename types, by its file name (RFC 8551 §3.2.1, §3.9). */
function isCms({ value, parameters }: FieldValue, fields: HeaderFields): boolean {
  if (value === "application/pkcs7-mime" || value === "application/x-pkcs7-mime") return true;
  if (value !== "application/octet-stream") return false;
  const disposition = fields.get("Content-Disposition");
  const names = disposition === undefined ? undefined : parseFieldValue(disposition).parameters;
  const name = names?.get("filename") ?? parameters.get("name") ?? "";
  return name.toLowerCase().endsWith(".p7m");
}

const SIGNATURE_TYPES: ReadonlySet<string> = new Set([
  "application/pkcs7-signature",
  "application/x-pkcs7-signature",
]);

/** Takes off the `Content-Transfer-Encoding` (RFC 2045 §6). */
function transferDecoder(
  fields: HeaderFields,
): (body: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array> {
  const encoding = parseFieldValue(fields.get("Content-Transfer-Encoding") ?? "7bit").value;
  if (encoding === "base64") return base64Decoded;
  if (encoding === "binary" || encoding === "8bit" || encoding === "7bit") return (body) => body;
  throw new UnsupportedError(
    "ERR_MAIL_ENCODING",
    `the mail's transfer encoding is ${JSON.stringify(encoding)}`,
    { hint: "CMS messages are sent in base64 or as binary; ask for it again in base64" },
  );
}

/** Addresses in a field such as `From` (RFC 5322 §3.4), without the names beside them. */
export function addressesIn(field: string): string[] {
  // Names and comments may hold anything, addresses of other people too.
  const withoutText = field.replace(/"(?:[^"\\]|\\.)*"(?!@)/g, " ").replace(/\([^()]*\)/g, " ");
  return withoutText
    .split(",")
    .map((one) => /<([^<>]*)>\s*$/.exec(one)?.[1] ?? one)
    .map((one) => one.trim())
    .filter((one) => /^[^\s@<>]+@[^\s@<>]+$/.test(one));
}
