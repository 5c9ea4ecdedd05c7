/** What the library's callers open a message with. */
import type { Identity, KnownPublicKey } from "../keys/key.js";
import type { Secret } from "../secret.js";
import type { ByteSource } from "../stream.js";
import type { MessageInfo, PassedOn, SenderInfo } from "./message-info.js";
import type { Allowances, BodyKey, ElsewhereRewrapped, Kept, WholeHeader } from "./receiver.js";
import type { RewrapOptions } from "./rewrapping.js";
import type { Watching } from "./watched.js";

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
   * Gets the key for the body from somebody else who checks the header with a private key, such as
   * an agent; undefined: they have no key for this message, and `identities` is called. Called
   * once, after `authenticate`; never for CMS, whose messages are authentic only at their end.
   */
  readonly bodyKey?: ((header: WholeHeader) => Promise<BodyKey | undefined>) | undefined;
  /**
   * Re-wraps a message in place of `identities`, as `bodyKey` opens one. In p11seal's own format,
   * if a custodian is named, the new header is to have their record; otherwise none.
   */
  readonly rewrapped?:
    | ((header: WholeHeader, options: RewrapOptions) => Promise<ElsewhereRewrapped | undefined>)
    | undefined;
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
