/**
 * An envelope is one message format, whichever: p11seal's own (`native/`), or another. Whoever
 * moves messages (the library's `open`, the command line, threads) knows this interface and no
 * format.
 *
 * A message is a header, which wraps a content key for each recipient and may name a sender; and a
 * body in one of two shapes (`body/body.ts`).
 */
import type { BodyToOpen, BodyToSeal } from "../body/body.js";
import type {
  Identity,
  KnownPublicKey,
  NamedKey,
  PrivateKey,
  SigningPublicKey,
} from "../keys/key.js";
import type { Secret } from "../secret.js";
import type { Reader } from "../stream.js";
import type { MessageInfo, SenderInfo } from "./message-info.js";
import type { Receiver } from "./receiver.js";
import type { RewrapOptions, RewrappedHeader } from "./rewrapping.js";
import type { SealOptions } from "./seal-options.js";

/** A format can load its code when it is first called: what is needed to detect it is all here. */
export interface Envelope {
  /** How people know the format, as in `p11seal`. */
  readonly name: string;
  /** What stands after BEGIN where a message is in armour (`armor.ts`). */
  readonly armorLabel: string;
  /** Other labels that stand there in messages of this format. */
  readonly otherArmorLabels?: readonly string[];
  /** How many of a message's first bytes `detect` needs to see: 64 at most. */
  readonly startBytes: number;
  /**
   * Whether a message of this format may begin so. `start` has `startBytes` bytes, or all bytes of
   * a shorter input; true means that it is up to this format to say what is wrong with the rest.
   */
  detect(start: Uint8Array): boolean;
  /**
   * The same, for messages that begin as other files do, too; asked where no format's `detect`
   * says so. Consumes nothing, and waits for bytes only while they may be such a message.
   */
  detectAhead?(header: Reader): Promise<boolean>;
  /**
   * Reads the header, without any key, and not a byte of the body.
   *
   * @throws FormatError, UnsupportedError, AuthenticationError
   */
  inspect(header: Reader): Promise<MessageInfo>;
  /** Does everything that comes before the first byte of plaintext. */
  beginSealing(options: SealOptions): Promise<BegunSealing>;
  /**
   * Does everything that comes before the body, in this order: checks the sender's signature where
   * the format has one at the start, and calls `authenticate`; only then calls `identities`, and
   * unlocks none that does not match a recipient; checks that the header is authentic. The body is
   * what `sealed.body` has next.
   *
   * @throws AuthenticationError; PolicyError; NoMatchError `ERR_NO_MATCH`, before any identity was
   *   unlocked; TokenError from unlocking; whatever `authenticate` throws
   */
  beginOpening(sealed: SealedReaders, receiver: Receiver): Promise<BegunOpening>;
  /**
   * Makes a header for other recipients, to stand before the same body: the header's sender, the
   * receiver's policy, the identity and its one operation come in the order of `beginOpening`, and
   * nothing is wrapped before the old header is authentic. Absent: the format can't.
   *
   * @throws as `beginOpening`; UsageError `ERR_NO_RECIPIENTS`: nobody would be left; PolicyError
   *   `ERR_MIXED_RECIPIENTS`, `ERR_TOO_MANY_RECIPIENTS`; UnsupportedError `ERR_REWRAP`: this
   *   message can't be re-wrapped
   */
  rewrap?(header: Reader, receiver: Receiver, options: RewrapOptions): Promise<RewrappedHeader>;
  /**
   * Checks with a key that the header is authentic, in the order of `beginOpening`, and reads no
   * byte of the body. Absent: of this format's messages, only the body's end shows that.
   *
   * @throws as `beginOpening`
   */
  proveHeader?(header: Reader, receiver: Receiver): Promise<ProvenHeader>;
  /**
   * The key for the message's body, in place of the body, in the order of `beginOpening`. Absent:
   * in this format, the header alone does not show that it is authentic.
   *
   * @param header - as in `WholeHeader`
   * @throws as `beginOpening`; AuthenticationError `ERR_TRAILING`
   */
  bodyKey?(header: Uint8Array, receiver: Receiver): Promise<HeldBodyKey>;
  /**
   * Reads what a sender's signature is about, strictly, for somebody who is to make it. Absent: in
   * this format, the sender signs something else.
   *
   * @param core - as in `WholeCore`
   * @throws as `inspect`; AuthenticationError `ERR_TRAILING`; PolicyError `ERR_AGENT_CORE`
   */
  coreToSign?(core: Uint8Array): Promise<CoreToSign>;
  /**
   * Checks everything about the sender that can be checked without any key, to the end of the
   * message.
   *
   * @returns undefined for an unsigned message, of which nothing was checked
   * @throws AuthenticationError
   */
  verifySender(sealed: SealedReaders): Promise<SenderInfo | undefined>;
}

/** A sealed message, from its first byte. */
export interface SealedReaders {
  /** Has the header next; and nothing else, where it was detached from the body. */
  readonly header: Reader;
  /** The same reader as `header`, unless the header was detached. */
  readonly body: Reader;
}

/** A message whose header is made. */
export interface BegunSealing {
  /** As in `MessageInfo`. */
  readonly messageId: string;
  readonly header: Uint8Array;
  readonly body: BodyToSeal;
}

/** A header that is authentic. */
export interface ProvenHeader {
  readonly info: MessageInfo;
  /** Which of the identities opened it; absent: a passphrase did. */
  readonly identity?: Identity<KnownPublicKey>;
}

/** The key for the body of a message whose header is authentic. */
export interface HeldBodyKey {
  readonly info: MessageInfo;
  readonly identity: Identity<KnownPublicKey>;
  /** 32 bytes. */
  readonly key: Secret;
}

/** A message's own description, well-formed, that the sender is to sign. */
export interface CoreToSign {
  /** As in `MessageInfo`. */
  readonly messageId: string;
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly createdMs: number;
  /** How many keys it addresses. */
  readonly addressees: number;
  /** True for a key that it addresses. */
  addresses(key: KnownPublicKey): boolean;
  /** True for the key that it names as the sender's. */
  isFrom(key: KnownPublicKey): boolean;
  /**
   * Has the key sign it, as the format says, and checks the signature.
   *
   * @throws PolicyError `ERR_AGENT_CORE`: it names another sender; TokenError `ERR_BAD_SIGNATURE`
   */
  sign(key: PrivateKey<SigningPublicKey>): Promise<Uint8Array>;
}

/** A message whose header is authentic. */
export interface BegunOpening {
  readonly info: MessageInfo;
  /** Whose key opened it; absent: a passphrase did, or it was only signed. */
  readonly identity?: NamedKey<KnownPublicKey>;
  /**
   * Who signed it, as far as that is known before the body; whether to trust that key is the
   * caller's policy.
   */
  readonly sender?: SenderInfo;
  /** What only the end of the body shows, in formats that hide it until then. */
  readonly atEnd?: AtEnd;
  readonly body: BodyToOpen;
}

/** To be looked at once the body's stream has ended. */
export interface AtEnd {
  readonly sender: SenderInfo | undefined;
  /** False: nothing vouches for the content, which was allowed. */
  readonly authenticated: boolean;
}
