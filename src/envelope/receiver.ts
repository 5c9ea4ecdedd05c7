/** Who opens a message, as its format sees them; the library's is `ordered-receiver.ts`. */
import type { ExchangePublicKey, Identity, KnownPublicKey, NamedKey } from "../keys/key.js";
import type { Secret } from "../secret.js";
import type { MessageInfo, PassedOn, SenderInfo } from "./message-info.js";
import type { RewrapOptions } from "./rewrapping.js";

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
   * The key for the message's body, from somebody else who checked the header with a private key;
   * undefined: they have no key for this message. To be called once, after `authenticate` and
   * before `identities`, by formats whose header alone shows that it is authentic.
   */
  bodyKey?(header: WholeHeader): Promise<BodyKey | undefined>;
  /**
   * The header for other recipients, from somebody else with a private key, in place of
   * `identities`, when a message is re-wrapped; undefined: they have no key for it, don't do this,
   * or have not the key of the custodian that is named, whose record is to be in the header.
   */
  rewrapped?(header: WholeHeader, options: RewrapOptions): Promise<ElsewhereRewrapped | undefined>;
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

/** A header for somebody else to check. */
export interface WholeHeader {
  /** The envelope's name. */
  readonly format: string;
  /** Everything that the body's key depends on: all bytes before the body's first chunk. */
  readonly bytes: Uint8Array;
  readonly info: MessageInfo;
}

/**
 * What opens a message's body. Whoever gave it says that the header is authentic; the tag of the
 * body's first chunk proves that it was the right key.
 */
export interface BodyKey {
  /** 32 bytes. */
  readonly key: Secret;
  /** Whose private key was used. */
  readonly openedBy: NamedKey<ExchangePublicKey>;
}

/**
 * A header that somebody else made. Whoever has no key for it can compare everything with the old
 * header but its MAC, and the new wrapped keys.
 */
export interface ElsewhereRewrapped {
  readonly header: Uint8Array;
  readonly openedBy: NamedKey<ExchangePublicKey>;
  /**
   * When it came, milliseconds since 1970-01-01T00:00Z. Its record is to be from just then: whoever
   * made it took the time once everybody had answered who was to be asked.
   */
  readonly nowMs: number;
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
