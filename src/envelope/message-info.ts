/**
 * What is known of a message, its recipients and its sender: plain values, so that inspection,
 * policy and ledger are the same for every format.
 */
import type { ExchangePublicKey, MlKemPublicKey, OaepHash, SigningPublicKey } from "../keys/key.js";

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
