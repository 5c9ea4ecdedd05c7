/** What a message is sealed with, whatever its format. */
import type { OaepHash, PrivateKey, Recipient, SigningPublicKey } from "../keys/key.js";
import type { CmsSigner } from "./cms/sign-data.js";

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
  /** Its private half, or somebody who has it. */
  readonly key: PrivateKey | CoreSigner;
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

/**
 * Somebody else who has the sender's private key, and who signs what it has read: the message's own
 * description, and no bytes of a caller's choice.
 */
export interface CoreSigner {
  /** The signature, as `PrivateKey.sign` makes it. Whoever gets it checks it. */
  signCore(core: WholeCore): Promise<Uint8Array>;
}

/** What the sender's signature is about, for somebody else to read. */
export interface WholeCore {
  /** The envelope's name. */
  readonly format: string;
  /** Of p11seal's own format, PRELUDE and CORE. */
  readonly bytes: Uint8Array;
}
