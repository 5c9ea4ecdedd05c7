/**
 * Messages of any known format: seal, open, inspect. `sealMessage` and `openMessage` are the
 * library's two stories; `beginSealing` and `beginOpening` are their first halves, for callers that
 * move the body themselves.
 */
import { openBody, sealBody } from "../body/body.js";
import { unshared } from "../bytes.js";
import type { KnownPublicKey, ExchangePublicKey, Identity, MlKemPublicKey } from "../keys/key.js";
import type { Secret } from "../secret.js";
import { ByteStream, Reader, type ByteSource } from "../stream.js";
import type {
  Allowances,
  AtEnd,
  BegunOpening,
  BegunSealing,
  Envelope,
  Kept,
  MessageInfo,
  ProvenHeader,
  PassedOn,
  Receiver,
  Rewrapped,
  RewrappedHeader,
  RewrapOptions,
  SealedReaders,
  SealOptions,
  SenderInfo,
} from "./envelope.js";
import { AbortedError, UnsupportedError, UsageError } from "../errors.js";
import type { SmimeType } from "../mime/write-mail.js";
import { armored } from "./armor.js";
import { formatNamed, formatOf } from "./formats.js";
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

export interface OpenOptions extends Watching {
  /**
   * What can reach the private keys; the first that matches a recipient, and can do what opening
   * needs, is used. A function is called only after `authenticate`: looking for keys may touch a
   * token. It gets what `inspectMessage` returns.
   */
  readonly identities:
    | readonly Identity<KnownPublicKey>[]
    | ((info: MessageInfo) => Promise<readonly Identity<KnownPublicKey>[]>);
  /**
   * Asks for the passphrase of a message that is sealed with one, as age files can be; undefined:
   * there is none. Called after `authenticate`, once, and not for a message that names recipients.
   */
  readonly passphrase?: (() => Promise<Secret | undefined>) | undefined;
  /** The header, where it was detached from the body. */
  readonly header?: ByteSource | undefined;
  /** Certificates, DER, by which messages may name the identities' keys; called as `identities`. */
  readonly certificates?: (() => Promise<readonly Uint8Array[]>) | undefined;
  /** What to put up with in this message; by default nothing. */
  readonly allows?: Allowances | undefined;
  /**
   * True: the caller keeps the plaintext from everybody until its stream has ended. Otherwise what
   * is authentic only at the message's end, as all of a CMS message is, is kept back until then:
   * 64 MiB in memory, and more with `spool`.
   */
  readonly keepsUntilEnd?: boolean | undefined;
  /** Keeps bytes outside memory, all of them when it resolves. They are encrypted. */
  readonly spool?: ((chunks: AsyncIterable<Uint8Array>) => Promise<Kept>) | undefined;
  /**
   * 32 bytes that only this host knows, and that stay the same: for RSA PKCS#1 v1.5, which
   * `allows.legacy` lets in. By default new ones for each process.
   */
  readonly rejectionSecret?: (() => Promise<Secret>) | undefined;
  /**
   * The receiver's policy about senders. Called once the sender's signature was checked (or with
   * `undefined` for an unsigned message) and before any key is looked for; throws to refuse.
   */
  readonly authenticate?: ((sender: SenderInfo | undefined) => Promise<void>) | undefined;
  /**
   * The receiver's policy about messages that a custodian re-wrapped for others: called before
   * `authenticate`, with the custodian's signed record; throws to refuse. Absent: `ERR_REWRAPPED`.
   */
  readonly passedOn?: ((record: PassedOn, sender: SenderInfo) => Promise<void>) | undefined;
  /**
   * Called for each signature that comes to light inside the sender's, which only CMS has, before
   * the last of the plaintext comes; throws to refuse. Without the sender's, the message would be
   * as good a one by this signer.
   */
  readonly alsoSigned?: ((insider: SenderInfo) => Promise<void>) | undefined;
  /**
   * True: a signature inside the encryption will do, which only CMS has. The key is then used
   * before it is known who sent the message, and `authenticate` is called before the last of the
   * plaintext comes.
   */
  readonly signatureInside?: boolean | undefined;
}

/** A message whose header is authentic. */
export interface Opened {
  readonly info: MessageInfo;
  /** Which of the identities opened it; absent: a passphrase did. */
  readonly identity?: Identity<KnownPublicKey>;
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
 * Opening that the signal interrupts anywhere but in `authenticate`: what that did, such as a
 * reservation, the caller can then undo.
 */
async function interruptible(
  options: OpenOptions,
  begin: (options: OpenOptions) => Promise<BegunOpening>,
): Promise<BegunOpening> {
  const { signal, identities } = options;
  if (signal === undefined) return begin(options);
  requireRunning(signal);
  let deciding = Promise.resolve();
  const begun = begin({
    ...options,
    authenticate(sender) {
      requireRunning(signal);
      deciding = options.authenticate?.(sender) ?? Promise.resolve();
      return deciding;
    },
    async passphrase() {
      requireRunning(signal);
      return options.passphrase?.();
    },
    async identities(info) {
      requireRunning(signal);
      const found = typeof identities === "function" ? await identities(info) : identities;
      // No PIN is asked for on behalf of a caller who has gone.
      requireRunning(signal);
      return found;
    },
  });
  try {
    return await unlessAborted(begun, signal);
  } catch (error) {
    if (error instanceof AbortedError) await deciding.catch(() => undefined);
    throw error;
  }
}

export interface RewrapMessageOptions
  extends
    RewrapOptions,
    Pick<
      OpenOptions,
      "identities" | "certificates" | "allows" | "authenticate" | "passedOn" | "rejectionSecret"
    >,
    Watching {}

/**
 * Makes a new header, for other recipients, to go before the same body; nothing is encrypted again.
 * Whoever could open the message before may have kept its key.
 *
 * @param sealed - the message, of which the body is read only where it vouches for the header, as
 *   in CMS; or only its header, where that was detached from the body
 * @throws as `openMessage`; UsageError `ERR_NO_RECIPIENTS`, `ERR_CUSTODIAN`: a signed message needs
 *   one; PolicyError `ERR_MIXED_RECIPIENTS`, `ERR_TOO_MANY_RECIPIENTS`, `ERR_WEAK_KEY`;
 *   UnsupportedError `ERR_REWRAP`: this message can't be re-wrapped
 */
export async function rewrapMessage(
  sealed: ByteSource,
  options: RewrapMessageOptions,
): Promise<Rewrapped> {
  const { signal } = options;
  const reader = new Reader(watched(sealed, options));
  try {
    requireRunning(signal);
    const rewrapped = await unlessAborted(rewrapHeader(reader, options), signal);
    await rewrapped.verifyBody?.();
    return rewrapped;
  } finally {
    await reader.close();
  }
}

/**
 * The first half of `rewrapMessage`, which reads the header alone: the body is what `reader` has
 * next when this is done. Throws alike.
 */
export async function rewrapHeader(
  reader: Reader,
  options: RewrapMessageOptions,
): Promise<RewrappedHeader> {
  const envelope = await formatOf(reader);
  if (envelope.rewrap === undefined) {
    throw new UnsupportedError("ERR_REWRAP", `messages of ${envelope.name} can't be re-wrapped`, {
      hint: "open it, and seal it again",
    });
  }
  const receiver = new OrderedReceiver(options);
  const rewrapped = await envelope.rewrap(reader, receiver, options);
  receiver.requireAuthenticated();
  return rewrapped;
}

/**
 * Checks with a key that a message's header is authentic: that what is wrapped for this key is the
 * message's file key, which no one else can tell. Reads no byte of the body.
 *
 * @returns undefined where only the body's end would show it, as in CMS; no key was used then
 * @throws as `openMessage`
 */
export async function proveHeader(
  sealed: ByteSource,
  options: OpenOptions,
): Promise<ProvenHeader | undefined> {
  const reader = new Reader(watched(sealed, options));
  try {
    const envelope = await formatOf(reader);
    if (envelope.proveHeader === undefined) return undefined;
    const receiver = new OrderedReceiver(options);
    const proven = await envelope.proveHeader(reader, receiver);
    receiver.requireAuthenticated();
    return proven;
  } finally {
    await reader.close();
  }
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

/**
 * Holds every format to the order that keeps keys and PINs out of a forger's reach: the sender
 * first, then the keys.
 */
class OrderedReceiver implements Receiver {
  readonly allows: Receiver["allows"];
  readonly keepsUntilEnd: Receiver["keepsUntilEnd"];
  readonly spool?: NonNullable<Receiver["spool"]>;
  readonly rejectionSecret?: NonNullable<Receiver["rejectionSecret"]>;
  readonly passedOn?: NonNullable<Receiver["passedOn"]>;
  readonly #options: OpenOptions;
  #isAuthenticated = false;
  #isLater = false;

  constructor(options: OpenOptions) {
    const { allows, keepsUntilEnd, spool, rejectionSecret, passedOn } = options;
    this.allows = allows;
    this.keepsUntilEnd = keepsUntilEnd;
    if (spool !== undefined) this.spool = spool;
    if (rejectionSecret !== undefined) this.rejectionSecret = rejectionSecret;
    if (passedOn !== undefined) this.passedOn = passedOn;
    this.#options = options;
  }

  async authenticate(sender: SenderInfo | undefined): Promise<void> {
    await this.#options.authenticate?.(sender);
    this.#isAuthenticated = true;
  }

  async alsoSigned(insider: SenderInfo): Promise<void> {
    await this.#options.alsoSigned?.(insider);
  }

  authenticateLater(): boolean {
    if (this.#options.signatureInside !== true) return false;
    this.#isLater = true;
    return true;
  }

  async identities(info: MessageInfo): Promise<readonly Identity<KnownPublicKey>[]> {
    this.requireAuthenticated();
    const { identities } = this.#options;
    return typeof identities === "function" ? identities(info) : identities;
  }

  async passphrase(): Promise<Secret | undefined> {
    this.requireAuthenticated();
    return this.#options.passphrase?.();
  }

  async certificates(): Promise<readonly Uint8Array[]> {
    this.requireAuthenticated();
    return (await this.#options.certificates?.()) ?? [];
  }

  requireAuthenticated(): void {
    if (!this.#isAuthenticated && !this.#isLater)
      throw new TypeError("the sender was not authenticated");
  }
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
