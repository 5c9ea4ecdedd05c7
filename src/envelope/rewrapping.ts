/** What re-wrapping takes and gives, whatever the format (`Envelope.rewrap`). */
import type {
  ExchangePublicKey,
  KnownPublicKey,
  NamedKey,
  OaepHash,
  PrivateKey,
  Recipient,
  SigningPublicKey,
} from "../keys/key.js";
import type { MessageInfo } from "./message-info.js";

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
  /**
   * Milliseconds since 1970-01-01T00:00Z, for the record. A function is called once the old header
   * has turned out authentic, and just before the custodian's key signs.
   */
  readonly nowMs: number | (() => Promise<number>);
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
  /** Whose key opened the old header. */
  readonly identity?: NamedKey<KnownPublicKey>;
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
