/**
 * An envelope is one message format, whichever: p11seal's own (`native/`), or another. Whoever
 * moves messages (the library's `open`, the command line, threads) knows this interface and no
 * format.
 *
 * A message is a header, which wraps a content key for each recipient and may name a sender; and a
 * body in one of two shapes (`body/body.ts`). What is known of sender and recipients are plain
 * values here, so that inspection, policy and ledger are the same for every format.
 */
import type { BodyToOpen, BodyToSeal } from "../body/body.js";
import type {
  KnownPublicKey,
  ExchangePublicKey,
  Identity,
  MlKemPublicKey,
  OaepHash,
  PrivateKey,
  Recipient,
  SigningPublicKey,
} from "../keys/key.js";
import type { Secret } from "../secret.js";
import type { Reader } from "../stream.js";
import type { CmsSigner } from "./cms/sign-data.js";

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

/** Who opens a message. */
export interface Receiver {
  /** Throws to refuse. To be called once, before `identities`; `undefined`: nobody signed. */
  authenticate(sender: SenderInfo | undefined): Promise<void>;
  /**
   * To be called in place of `authenticate` where a signature can only lie inside the encryption.
   * True: `authenticate` is to be called once that was opened, and before the last of the plaintext
   * is passed on. False: call it now.
   */
  authenticateLater?(): boolean;
  /**
   * Whether to take a message that a custodian passed on. Throws to refuse. To be called before
   * `authenticate`, once the record was found to hold; absent: such a message is refused with
   * `ERR_REWRAPPED`.
   *
   * @param sender - who sealed it, under a signature that holds
   */
  passedOn?(record: PassedOn, sender: SenderInfo): Promise<void>;
  /**
   * To be called after `authenticate`, and before the last of the plaintext is passed on, for each
   * signature that came to light inside the sender's. Throws to refuse.
   */
  alsoSigned?(insider: SenderInfo): Promise<void>;
  /**
   * What can reach the private keys; those to try first come first. Looking for keys may touch a
   * token. `info` is of the message, and not yet authentic.
   */
  identities(info: MessageInfo): Promise<readonly Identity<KnownPublicKey>[]>;
  /**
   * The passphrase of a message that is sealed with one; undefined: there is none to be had. To be
   * called after `authenticate`, and once. Whoever calls it wipes the passphrase.
   */
  passphrase?(): Promise<Secret | undefined>;
  /** Certificates, DER, by which messages may name the identities' keys. */
  certificates?(): Promise<readonly Uint8Array[]>;
  /** What the receiver puts up with in this message; by default nothing. */
  readonly allows?: Allowances | undefined;
  /**
   * True: whoever takes the plaintext keeps it from everybody until its stream has ended. Otherwise
   * a body whose chunks are authentic only at its end is kept back by its format.
   */
  readonly keepsUntilEnd?: boolean | undefined;
  /** Keeps bytes outside memory, all of them when it resolves, so that they can be read again. */
  spool?(chunks: AsyncIterable<Uint8Array>): Promise<Kept>;
  /** 32 bytes that only this host knows, for implicit rejection (`wrap/rejection.ts`). */
  rejectionSecret?(): Promise<Secret>;
}

/** What is refused unless it is allowed. */
export interface Allowances {
  /** Content that nothing vouches for: anybody on the way may have changed it. */
  readonly unauthenticated?: boolean | undefined;
  /** Algorithms of old messages: PKCS#1 v1.5, triple DES, RC2. */
  readonly legacy?: boolean | undefined;
}

/** Bytes that are kept outside memory. */
export interface Kept {
  /** From the first byte, each time. */
  chunks(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
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

/** A message whose header is authentic. */
export interface BegunOpening {
  readonly info: MessageInfo;
  /** Which of the identities opened it; absent: a passphrase did, or it was only signed. */
  readonly identity?: Identity<KnownPublicKey>;
  /**
   * Who signed it, as far as that is known before the body; whether to trust that key is the
   * caller's policy.
   */
  readonly sender?: SenderInfo;
  /** What only the end of the body shows, in formats that hide it until then. */
  readonly atEnd?: AtEnd;
  readonly body: BodyToOpen;
}

/** What a message's recipients become. */
export interface RewrapOptions {
  /**
   * Keys to add, in this order. Those that have a wrapped key already keep it as it is, unless they
   * are to be removed as well: then they get a new one.
   */
  readonly add: readonly Recipient[];
  /** Keys whose wrapped keys go. Every other wrapped key stays, byte for byte. */
  readonly remove: readonly ExchangePublicKey[];
  /** Certificates, DER, by which CMS messages may name the keys in `remove`. */
  readonly removeCertificates?: readonly Uint8Array[] | undefined;
  /** OAEP hash for the RSA keys in `add`, as in `SealOptions`. */
  readonly oaep?: OaepHash | undefined;
  /** Who signs the record of it; signed messages of p11seal's own format need one. */
  readonly custodian?: Custodian | undefined;
  /** Milliseconds since 1970-01-01T00:00Z, for the record. */
  readonly nowMs: number;
  /** SHA-256 of the rules that were obeyed, for the record. */
  readonly rulesHash?: Uint8Array | undefined;
}

/** Who passes messages on, under a signature. */
export interface Custodian {
  readonly publicKey: SigningPublicKey;
  /** Its private half. */
  readonly key: PrivateKey;
}

/** A header in place of another that was authentic. */
export interface Rewrapped {
  /** Of the old header. */
  readonly info: MessageInfo;
  /** How many of the message's first bytes `header` takes the place of. */
  readonly oldHeaderBytes: number;
  /** All that comes before the body. */
  readonly header: Uint8Array<ArrayBuffer>;
  /** Which of the identities opened the old header. */
  readonly identity?: Identity<KnownPublicKey>;
}

export interface RewrappedHeader extends Rewrapped {
  /**
   * Reads the body, to the message's end, from the reader that had the header: in formats that show
   * only there whether the old header was authentic. The new one must not be used before this has
   * resolved.
   *
   * @throws AuthenticationError
   */
  verifyBody?(): Promise<void>;
}

/** To be looked at once the body's stream has ended. */
export interface AtEnd {
  readonly sender: SenderInfo | undefined;
  /** False: nothing vouches for the content, which was allowed. */
  readonly authenticated: boolean;
}

// ── What is known of a message ──

/** What anyone can read in a message. None of it is verified without the key. */
export interface MessageInfo {
  /** The envelope's name, as in `p11seal`. */
  readonly format: string;
  /** Version of the format. */
  readonly version: number;
  /** How the content is encrypted, in formats that leave a choice, as in `aes-256-gcm`. */
  readonly cipher?: string;
  /** False: nothing in the message shows whether its content was altered. */
  readonly authenticated?: boolean;
  /** Number of the cipher suite, in formats that number them. */
  readonly suite?: number;
  /** Bytes of a sealed segment; absent where the body is not in segments. */
  readonly segmentBytes?: number;
  /** Hexadecimal; where the format gives messages no name, 16 bytes of the header's SHA-256. */
  readonly messageId: string;
  readonly signed: boolean;
  /** Bytes up to the body. */
  readonly headerBytes: number;
  /** One for each wrapped key. */
  readonly recipients: readonly RecipientInfo[];
  /** What a signed message claims about its sender. */
  readonly sender?: ClaimedSender;
  /**
   * A re-wrap record that holds and names these recipients, in a signed message or an unsigned one.
   * It is the word of whose key signed it, and of nobody else; `sender.passedOn` is absent where
   * the recipients are the sender's own all the same.
   */
  readonly passedOn?: PassedOn;
  /** Why the message's re-wrap record does not hold; opening refuses the message. */
  readonly recordFault?: string;
  /**
   * How much plaintext a body of so many bytes holds; undefined: none has that length, or it
   * varies.
   */
  plaintextBytes(bodyBytes: number): number | undefined;
}

/** Claims, and whether the key they name signed them. It is not known here who owns that key. */
export interface ClaimedSender {
  /** SHA-256 of the sender's SPKI, hexadecimal. */
  readonly keyId: string;
  /** 16 bytes, hexadecimal: which of the sender's counters `serial` comes from. */
  readonly streamId: string;
  readonly serial: number;
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly createdMs: number;
  readonly expiresMs?: number;
  /** How many keys the sender addressed. */
  readonly addressees: number;
  /** The signature at the message's start. Opening checks the one over the body. */
  readonly signature: "holds" | "does not hold";
  /** True if the wrapped keys are the ones that the sender signed. */
  readonly recipientsIntact: boolean;
  /** As in `SenderInfo`. */
  readonly passedOn?: PassedOn;
  /** SHA-256 of the rules that the sender sealed under, hexadecimal. */
  readonly rulesHash?: string;
}

/** One wrapped key. */
export interface RecipientInfo {
  /** How the key is wrapped, as in `rsa-oaep` or `hpke-x25519`; `unknown`: for somebody else. */
  readonly type: string;
  /** How the message names the key, hexadecimal; absent where it does not name it. */
  readonly tag?: string;
  /** The OAEP hash, of a key wrapped with RSA-OAEP. */
  readonly oaep?: OaepHash;
  /** OAEP's label, if it is not empty. */
  readonly oaepLabel?: Uint8Array;
  /** Bits of an RSA key, as the length of what is wrapped with it shows. */
  readonly rsaBits?: number;
  /** True for a passphrase, which takes the place of a key. */
  readonly passphrase?: true;
  /** What the holder's token will be asked to do. */
  readonly operation: string;
  /**
   * Whether it was wrapped for this key; also true where a format does not tell.
   *
   * @param certificates - the key's, DER, by which CMS names keys; without them, a CMS message's
   *   recipient matches every key of its kind
   */
  matches(
    publicKey: ExchangePublicKey | MlKemPublicKey,
    certificates?: readonly Uint8Array[],
  ): boolean;
}

/** What a signed message says, under a valid signature. Whether to trust its key is policy. */
export interface SenderInfo {
  readonly publicKey: SigningPublicKey;
  /** SHA-256 of the SPKI, hexadecimal. */
  readonly keyId: string;
  readonly algorithm: string;
  /** 16 bytes, hexadecimal. */
  readonly messageId: string;
  /** 16 bytes, hexadecimal: which of the sender's counters `serial` comes from. */
  readonly streamId: string;
  readonly serial: number;
  /** Milliseconds since 1970-01-01T00:00Z; absent where the signature does not say when. */
  readonly createdMs?: number;
  readonly expiresMs?: number;
  /** True if the wrapped keys are the ones that the sender signed. */
  readonly recipientsIntact: boolean;
  /**
   * Who re-wrapped the message for these recipients, under a signature that holds;
   * `recipientsIntact` is false then.
   */
  readonly passedOn?: PassedOn;
  /** SHA-256 of the rules that the sender sealed under, hexadecimal. */
  readonly rulesHash?: string;
  /** What a message brings along about the key, in formats with certificates. */
  readonly certificates?: SenderCertificates;
  /**
   * Who else signed the same, in formats where several can. Their signatures hold as well; anybody
   * on the way can take some of the signatures away.
   */
  readonly cosigners?: readonly SenderInfo[];
}

/** What whoever re-wrapped a message says of that. Whether the key is a custodian's is policy. */
export interface PassedOn {
  readonly publicKey: SigningPublicKey;
  /** SHA-256 of the SPKI, hexadecimal. */
  readonly keyId: string;
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly rewrappedMs: number;
  /** From 1: how many times the message has been re-wrapped. */
  readonly generation: number;
  /** How many keys it was passed on to. */
  readonly addressees: number;
  /** SHA-256 of the rules that the custodian obeyed, hexadecimal. */
  readonly rulesHash?: string;
}

/** Nothing here vouches for any of it. All are DER. */
export interface SenderCertificates {
  /** Of the key that signed. */
  readonly signer: Uint8Array;
  /** Certificates that may lead from it to one that is trusted. */
  readonly others: readonly Uint8Array[];
  readonly crls: readonly Uint8Array[];
  readonly ocsp: readonly Uint8Array[];
}

// ── What a message is sealed with ──

export interface SealOptions {
  /** Whom to seal to: 1 to 1,024 keys. */
  readonly recipients: readonly Recipient[];
  /** OAEP hash for RSA recipients; by default what is recorded with each key, or two stanzas. */
  readonly oaep?: OaepHash | undefined;
  /** A segment has 2^segLog2 bytes; 12 to 22, by default 18. */
  readonly segLog2?: number | undefined;
  /** Who signs; absent: the message says nothing of its sender. */
  readonly sender?: Sender | undefined;
  /** What only CMS messages have. */
  readonly cms?: CmsSealOptions | undefined;
  /**
   * Pads the header, in p11seal's own format, to a multiple of 4,096 bytes: re-wrapping then leaves
   * the body where it is.
   */
  readonly padHeader?: boolean | undefined;
}

/** What can be chosen of a message in CMS. */
export interface CmsSealOptions {
  /**
   * `windows`: for .NET and old mail programs, with AES-CBC, which does not authenticate the
   * content. By default AES-GCM.
   */
  readonly profile?: "windows" | undefined;
  /** Names recipients by key identifiers, certificates or not. */
  readonly byKeyId?: boolean | undefined;
  /** Signs the content before it is encrypted. */
  readonly signer?: CmsSigner | undefined;
  /** The message is for mail: what is sealed is a mail's part. */
  readonly smime?: MailPart | undefined;
}

/** How content that is not a mail's part yet becomes one. */
export interface MailPart {
  /** Name of the attachment; absent: it becomes text. */
  readonly name?: string | undefined;
}

/** The sender, and what is signed. The caller provides the time and the serial number. */
export interface Sender {
  readonly publicKey: SigningPublicKey;
  /** Its private half. */
  readonly key: PrivateKey;
  /** 16 bytes: which of the sender's counters `serial` comes from. */
  readonly streamId: Uint8Array;
  /** Never used before in this stream. */
  readonly serial: number;
  /** Milliseconds since 1970-01-01T00:00Z. */
  readonly createdMs: number;
  readonly expiresMs?: number | undefined;
  /** SHA-256 of the rules that were obeyed: 32 bytes, which are signed, too. */
  readonly rulesHash?: Uint8Array | undefined;
}
