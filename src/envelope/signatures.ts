/**
 * Signatures over files as CMS has them (RFC 5652 §5): in one file with what is signed, as `.p7m`,
 * or apart from it, as `.p7s`. Nothing here decides whether a signer's certificate is to be
 * believed.
 */
import { defined } from "../defined.js";
import { AuthenticationError, UsageError } from "../errors.js";
import { ByteStream, chunks, Reader, type ByteSource } from "../stream.js";
import { parseX509 } from "../x509/certificate.js";
import { armored } from "./armor.js";
import type { SignaturePolicy, Signer } from "./cms/check-signer.js";
import type { LineEnds } from "./cms/content-digests.js";
import { leaveContentInfo } from "./cms/content-info.js";
import { signData, type CmsSigner } from "./cms/sign-data.js";
import { ContentWatch } from "./cms/signed-content.js";
import { checkSigned, type SignedOptions, type SignedParts } from "./cms/signed-data.js";
import { beginSignedData, beginSignedMessage, pieces } from "./cms/signed-message.js";
import { watched, whileRunning, type Watching } from "./watched.js";

export type { CmsSigner, LineEnds, SignaturePolicy, SignedParts, Signer };

export interface VerifyOptions extends SignaturePolicy, Watching {
  /** DER certificates to look for a signer's in, besides those in the message. */
  readonly certificates?: readonly Uint8Array[] | undefined;
  /** A chunk of `content` holds only until the next one is asked for: this saves memory. */
  readonly reuse?: boolean | undefined;
}

/** A message that holds what is signed. */
export interface SignedMessage {
  /** The content's type, dotted: `1.2.840.113549.1.7.1` for a file. */
  readonly contentType: string;
  /** Of a mail, the addresses in its `From`, which nothing vouches for. */
  readonly from?: readonly string[];
  /**
   * The content, before anything is known of the signatures. Whoever can't wait takes back what
   * they have if the stream throws, or `signatures` rejects.
   */
  readonly content: ByteStream;
  /**
   * To be called once, after `content` was read to its end.
   *
   * @throws as `verifyDetached`
   */
  signatures(): Promise<SignedParts>;
}

/**
 * Begins to read a message that holds what is signed: binary, as PEM, or a signed mail (RFC 8551
 * §3.5), whose content is the first part as it stands.
 *
 * @throws FormatError `ERR_NOT_SIGNED_DATA`, `ERR_BER`, `ERR_MAIL` and others; UsageError
 *   `ERR_DETACHED`: it is a signature alone; AuthenticationError `ERR_TRUNCATED`; AbortedError
 *   `ERR_ABORTED`
 */
export async function openSigned(
  message: ByteSource,
  options: VerifyOptions = {},
): Promise<SignedMessage> {
  const reader = new Reader(watched(message, options));
  try {
    const begun = await beginSignedMessage(reader, options, options.reuse);
    let isRead = false;
    const content = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      yield* whileRunning(begun.content, options.signal);
      isRead = true;
    };
    return {
      contentType: begun.contentType,
      ...defined({ from: begun.from }),
      content: new ByteStream(content(), () => reader.close()),
      async signatures() {
        if (!isRead) throw new TypeError("the content was not read to its end");
        const parts = await begun.rest();
        await reader.close();
        const given = withCertificates(options);
        return checkSigned(begun.contentType, parts, begun.watch.finish(), given);
      },
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/**
 * Checks a signature that lies apart from what is signed. The content may have other line ends than
 * the signer's: each signer's `lineEnds` says which fit.
 *
 * @param content - a function is called again for a second reading, if the first one doesn't fit;
 *   otherwise both forms are digested at once, which takes twice as long
 * @throws UsageError `ERR_NOT_DETACHED`: the message holds a content; AuthenticationError
 *   `ERR_CONTENT_MISMATCH`, `ERR_SENDER_SIGNATURE`, `ERR_SIGNER_CERTIFICATE`, `ERR_TRUNCATED`;
 *   PolicyError `ERR_UNSIGNED`, `ERR_WEAK_SIGNATURE`, `ERR_NO_SIGNED_ATTRIBUTES`,
 *   `ERR_ATTRIBUTES_AS_CONTENT`, `ERR_WEAK_KEY`; FormatError, UnsupportedError; AbortedError
 *   `ERR_ABORTED`
 */
export async function verifyDetached(
  signature: ByteSource,
  content: ByteSource | (() => ByteSource),
  options: VerifyOptions = {},
): Promise<SignedParts> {
  const reader = new Reader(signature);
  try {
    const { ber, signed } = await beginSignedData(reader, options);
    if (!signed.isDetached) {
      throw new UsageError("ERR_NOT_DETACHED", "the message holds what is signed, too", {
        hint: "check it alone, without the other file",
      });
    }
    const parts = await signed.rest();
    await leaveContentInfo(ber);
    const check = async (source: ByteSource, anyLineEnds: boolean): Promise<SignedParts> => {
      const watch = new ContentWatch(signed.digests, { anyLineEnds });
      for await (const chunk of chunks(watched(source, options))) watch.see(chunk);
      return checkSigned(signed.contentType, parts, watch.finish(), withCertificates(options));
    };
    if (typeof content !== "function") return await check(content, true);
    try {
      return await check(content(), false);
    } catch (error) {
      if (!isOtherContent(error)) throw error;
      return await check(content(), true);
    }
  } finally {
    await reader.close();
  }
}

export interface SignOptions extends Watching {
  /** Without the content. */
  readonly detached?: boolean | undefined;
}

/**
 * Signs `content`: the message with it or, detached, the signature alone. As text it is PEM with
 * the label `CMS`.
 *
 * @throws UsageError `ERR_CERTIFICATE_KEY`; UnsupportedError `ERR_SIGNING_KEY`, `ERR_KEY_SIZE`;
 *   TokenError. The streams throw TokenError `ERR_BAD_SIGNATURE`, and what the key throws;
 *   AbortedError `ERR_ABORTED`
 */
export function signMessage(
  content: ByteSource,
  signer: CmsSigner,
  options: SignOptions = {},
): { readonly stream: () => ByteStream; readonly armored: () => ByteStream } {
  const reader = new Reader(watched(content, options));
  const { detached = false, signal } = options;
  const message = whileRunning(signData(pieces(reader), signer, { detached }), signal);
  const release = (): Promise<void> => reader.close();
  return {
    stream: () => new ByteStream(message, release),
    armored: () => new ByteStream(armored(message, "CMS"), release),
  };
}

function withCertificates({ certificates = [], ...policy }: VerifyOptions): SignedOptions {
  return { ...policy, certificates: certificates.map(parseX509) };
}

function isOtherContent(error: unknown): boolean {
  return error instanceof AuthenticationError && error.code === "ERR_CONTENT_MISMATCH";
}
