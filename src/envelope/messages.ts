/**
 * Messages of any known format: seal, open, inspect; `rewrap-message.ts` changes recipients.
 * `beginSealing` and `beginOpening` are the first halves of `sealMessage` and `openMessage`, for
 * callers that move the body themselves.
 */
import { openBody, sealBody } from "../body/body.js";
import { unshared } from "../bytes.js";
import { UsageError } from "../errors.js";
import type { ExchangePublicKey, KnownPublicKey, MlKemPublicKey, NamedKey } from "../keys/key.js";
import type { SmimeType } from "../mime/write-mail.js";
import { ByteStream, Reader, type ByteSource } from "../stream.js";
import { armored } from "./armor.js";
import type { AtEnd, BegunOpening, BegunSealing, Envelope, SealedReaders } from "./envelope.js";
import { formatNamed, formatOf } from "./formats.js";
import type { MessageInfo, SenderInfo } from "./message-info.js";
import type { OpenOptions } from "./open-options.js";
import { interruptible } from "./interruptible.js";
import { OrderedReceiver } from "./ordered-receiver.js";
import type { SealOptions } from "./seal-options.js";
import { requireRunning, unlessAborted, watched, whileRunning, type Watching } from "./watched.js";

/** A sealed message. Its header is ready; its body is sealed as it is read, once. */
export interface Sealed {
  /** 16 bytes, hexadecimal. */
  readonly messageId: string;
  /** Everything before the body, as a file of its own: the article's key blob. */
  readonly header: Uint8Array<ArrayBuffer>;
  /** The rest: the article's encrypted message. */
  readonly body: ByteStream;
  /** Header and body, one after the other. */
  stream(): ByteStream;
  /**
   * The same as text in ASCII, between `-----BEGIN P11SEAL MESSAGE-----` or, of age's format,
   * `-----BEGIN AGE ENCRYPTED FILE-----` or `-----BEGIN CMS-----`, and its end.
   */
  armored(): ByteStream;
  /**
   * A mail that holds the message (RFC 8551), without `From`, `To` and `Subject`.
   *
   * @throws UsageError `ERR_FORMAT_OPTION`: the message is not in CMS
   */
  mail(): ByteStream;
}

/** What to seal with, and in which format. */
export interface SealInOptions extends SealOptions {
  /** By default `p11seal`, its own format; or `age` or `cms`. */
  readonly format?: string | undefined;
}

export interface SealMessageOptions extends SealInOptions, Watching {}

/**
 * Seals `plaintext` under a fresh content key to every recipient.
 *
 * @throws UsageError `ERR_NO_RECIPIENTS`, `ERR_FORMAT_UNKNOWN`, `ERR_FORMAT_OPTION`; PolicyError
 *   `ERR_TOO_MANY_RECIPIENTS`, `ERR_WEAK_KEY`, `ERR_SAME_KEY`, `ERR_OAEP_HASH`; UnsupportedError
 *   `ERR_KEY_SIZE`, `ERR_KEY_TYPE`; TokenError from a signing key on a token; AbortedError
 *   `ERR_ABORTED`
 */
export async function sealMessage(
  plaintext: ByteSource,
  options: SealMessageOptions,
): Promise<Sealed> {
  const { signal } = options;
  const reader = new Reader(watched(plaintext, options));
  const release = (): Promise<void> => reader.close();
  try {
    requireRunning(signal);
    const begun = await unlessAborted(beginSealing(options), signal);
    const { messageId, header, body: toSeal } = begun;
    const body = new ByteStream(whileRunning(sealBody(toSeal, reader), signal), release);
    const stream = (): ByteStream => new ByteStream(inOrder(header, body), release);
    const armor = (): ByteStream =>
      new ByteStream(
        armored(inOrder(header, body), formatNamed(options.format).armorLabel),
        release,
      );
    const mail = (): ByteStream => {
      const type = smimeType(options);
      return new ByteStream(asMail(inOrder(header, body), type), release);
    };
    return { messageId, header: unshared(header), body, stream, armored: armor, mail };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function* asMail(
  message: AsyncIterable<Uint8Array>,
  type: SmimeType,
): AsyncGenerator<Uint8Array, void, undefined> {
  // Loaded here: most messages are not mails.
  const { cmsMail } = await import("../mime/write-mail.js");
  yield* cmsMail(message, type);
}

/** What a mail says of the message in it. */
function smimeType({ format, cms }: SealInOptions): SmimeType {
  if (format === "cms") {
    return cms?.profile === "windows" ? "enveloped-data" : "authEnveloped-data";
  }
  throw new UsageError("ERR_FORMAT_OPTION", "only CMS messages are sent as mails of their own", {
    hint: "seal in the format cms, or send the message as an attachment",
  });
}

/** Everything of `sealMessage` that comes before the first byte of plaintext. Throws alike. */
export async function beginSealing(options: SealInOptions): Promise<BegunSealing> {
  const envelope = formatNamed(options.format);
  if (options.cms !== undefined && envelope.name !== "cms") {
    throw new UsageError("ERR_FORMAT_OPTION", `options of CMS for a message of ${envelope.name}`, {
      hint: "seal in the format cms, or leave them out",
    });
  }
  return envelope.beginSealing(options);
}

/** A message whose header is authentic. */
export interface Opened {
  readonly info: MessageInfo;
  /** Whose key opened it; absent: a passphrase did. */
  readonly identity?: NamedKey<KnownPublicKey>;
  /** Who signed it; whether to trust that key is the caller's policy. */
  readonly sender?: SenderInfo;
  /** What only the end of `plaintext` shows. */
  readonly atEnd?: AtEnd;
  /**
   * The plaintext, a segment at a time, each after its tag was checked. Only its end tells that the
   * message was whole, and that its sender signed this body: a consumer that can't wait takes back
   * what it has when the stream throws.
   */
  readonly plaintext: ByteStream;
}

/**
 * Opens a message with the first identity that matches one of its recipients.
 *
 * @throws FormatError `ERR_NOT_A_MESSAGE`; UnsupportedError; AuthenticationError; PolicyError
 * `ERR_REWRAPPED`, `ERR_SAME_KEY`, `ERR_NOT_ADDRESSEE`; NoMatchError `ERR_NO_MATCH`, before any
 * identity was unlocked; TokenError from unlocking; whatever `authenticate` throws; AbortedError
 * `ERR_ABORTED`
 */
export async function openMessage(sealed: ByteSource, options: OpenOptions): Promise<Opened> {
  const reader = new Reader(watched(sealed, options));
  try {
    const { body, ...opened } = await beginOpening(reader, options);
    const chunks = whileRunning(openBody(body, reader), options.signal);
    return { ...opened, plaintext: new ByteStream(chunks, () => reader.close()) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/**
 * Everything of `openMessage` that comes before the body, which is what `reader` has next when this
 * is done. Throws alike.
 */
export function beginOpening(reader: Reader, options: OpenOptions): Promise<BegunOpening> {
  return interruptible(options, (interrupted) =>
    withReaders(reader, interrupted, async (envelope, sealed) => {
      const receiver = new OrderedReceiver(interrupted);
      const begun = await envelope.beginOpening(sealed, receiver);
      receiver.requireAuthenticated();
      return begun;
    }),
  );
}

/**
 * Checks everything about a message's sender that can be checked without any key: the signature at
 * its start, and the one at its end over every byte between.
 *
 * @returns `undefined` for an unsigned message, of which nothing was checked
 * @throws AuthenticationError; PolicyError `ERR_SAME_KEY`; AbortedError `ERR_ABORTED`
 */
export async function verifySender(
  sealed: ByteSource,
  options: Pick<OpenOptions, "header"> & Watching = {},
): Promise<SenderInfo | undefined> {
  const reader = new Reader(watched(sealed, options));
  try {
    return await withReaders(reader, options, (envelope, readers) =>
      envelope.verifySender(readers),
    );
  } finally {
    await reader.close();
  }
}

/**
 * Reads the header of a message, and no byte of its body. Needs no key.
 *
 * @throws FormatError `ERR_NOT_A_MESSAGE`; UnsupportedError `ERR_VERSION`, `ERR_SUITE`,
 * `ERR_EXTENSION`; AuthenticationError `ERR_TRUNCATED`, `ERR_HEADER`
 */
export async function inspectMessage(sealed: ByteSource): Promise<MessageInfo> {
  const reader = new Reader(sealed);
  try {
    const envelope = await formatOf(reader);
    return await envelope.inspect(reader);
  } finally {
    await reader.close();
  }
}

/** True if a wrapped key of the message was made for this key. Needs no private key. */
export function matchesRecipient(
  info: MessageInfo,
  publicKey: ExchangePublicKey | MlKemPublicKey,
): boolean {
  return info.recipients.some((recipient) => recipient.matches(publicKey));
}

/** Calls `use` with the message's format, and with readers for its header and its body. */
async function withReaders<T>(
  reader: Reader,
  { header: detachedHeader, signal }: Pick<OpenOptions, "header" | "signal">,
  use: (envelope: Envelope, sealed: SealedReaders) => Promise<T>,
): Promise<T> {
  if (detachedHeader === undefined) {
    return use(await formatOf(reader), { header: reader, body: reader });
  }
  const header = new Reader(watched(detachedHeader, { signal }));
  try {
    return await use(await formatOf(header), { header, body: reader });
  } finally {
    await header.close();
  }
}

async function* inOrder(
  header: Uint8Array,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield header;
  yield* body;
}
