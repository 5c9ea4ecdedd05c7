/**
 * What a key is, apart from where it lives.
 *
 * A *recipient* is a public value a message is sealed to. An *identity* is what can reach a private
 * key, on a token or in memory. `unlock` may ask for a PIN, so it is called only once it is clear
 * that the key is needed: for opening, after a recipient of the message matched.
 */
import type { KeyObject } from "node:crypto";
import type { Secret } from "../secret.js";

/** A hash for OAEP and its MGF1 (RFC 8017 §7.1). */
export type OaepHash = "sha1" | "sha256" | "sha384" | "sha512";

/** The curves a message can be sealed under. */
export type EcCurve = "P-256" | "P-384" | "P-521";

/** Two KEMs in one, of which either may break (draft-ietf-hpke-pq-03). */
export type HybridKem = "mlkem768-p256" | "mlkem1024-p384" | "mlkem768-x25519";

interface Encoded {
  /** SubjectPublicKeyInfo, DER, in its one canonical encoding (RFC 5280 §4.1). */
  readonly spki: Uint8Array;
  /** SHA-256 of `spki`, 32 bytes: the key's fingerprint, and what recipient tags are made from. */
  readonly fingerprint: Uint8Array;
}

interface AnyPublicKey extends Encoded {
  /** The same key for `node:crypto`. */
  readonly object: KeyObject;
}

export interface RsaPublicKey extends AnyPublicKey {
  readonly type: "rsa";
  /** Length of the modulus, bits. */
  readonly bits: number;
  /** Big-endian, no leading zeros. */
  readonly modulus: Uint8Array;
}

export interface EcPublicKey extends AnyPublicKey {
  readonly type: "ec";
  readonly curve: EcCurve;
  /** Uncompressed point `04 ‖ X ‖ Y` (SEC 1 §2.3.3). */
  readonly point: Uint8Array;
}

export interface X25519PublicKey extends AnyPublicKey {
  readonly type: "x25519";
  /** The u-coordinate, 32 bytes little-endian (RFC 7748 §5). */
  readonly point: Uint8Array;
}

/** A key that can only sign: known to the project, never a recipient. */
export interface Ed25519PublicKey extends AnyPublicKey {
  readonly type: "ed25519";
}

/** An ML-KEM key beside one on a curve: a message to it stays secret while one of the two holds. */
export interface HybridPublicKey extends Encoded {
  readonly type: "hybrid";
  readonly kem: HybridKem;
  /** The half that a token can hold. */
  readonly dh: EcPublicKey | X25519PublicKey;
  /** The encapsulation key (FIPS 203 §7.1), 1,184 or 1,568 bytes. */
  readonly mlkem: Uint8Array;
}

/** An ML-KEM key alone (FIPS 203), which only CMS messages are opened with. */
export interface MlKemPublicKey extends Encoded {
  readonly type: "ml-kem";
  readonly set: "ml-kem-512" | "ml-kem-768" | "ml-kem-1024";
  /** The encapsulation key (FIPS 203 §7.1). */
  readonly mlkem: Uint8Array;
}

export type ExchangePublicKey = RsaPublicKey | EcPublicKey | X25519PublicKey | HybridPublicKey;
/** A public key that signatures can be checked with. */
export type SigningPublicKey = RsaPublicKey | EcPublicKey | Ed25519PublicKey;
export type PublicKey = ExchangePublicKey | Ed25519PublicKey;
/** A key that some message may be opened with, or signed. */
export type KnownPublicKey = PublicKey | MlKemPublicKey;
/** A key that is one object, for `node:crypto` and on a token: all but hybrids. */
export type SinglePublicKey = Exclude<PublicKey, HybridPublicKey>;

/** Whom a message is sealed to. */
export interface Recipient {
  readonly publicKey: ExchangePublicKey;
  /**
   * For RSA: the OAEP hash the holder's token is known to unwrap, as recorded with the exported
   * key. Without it the sender writes one stanza for SHA-256 and one for SHA-1.
   */
  readonly oaep?: OaepHash | undefined;
  /** The key's certificate, DER, by which CMS messages name it. Nobody has judged it here. */
  readonly certificate?: Uint8Array | undefined;
}

/**
 * Told how a token is asked, as in `C_UnwrapKey CKM_RSA_PKCS_OAEP sha256`; the last call counts.
 */
export type Using = (path: string) => void;

/** How RSA-OAEP was applied (RFC 8017 §7.1). */
export interface OaepParameters {
  readonly hash: OaepHash;
  /** MGF1's hash; by default `hash`. */
  readonly mgfHash?: OaepHash;
  /** The label L; by default empty. */
  readonly label?: Uint8Array;
}

/** What a private key may be told with each decryption. */
export interface UseOptions {
  readonly using?: Using;
  /**
   * Length of the secret, bytes, by default 32: some tokens want to be told before they unwrap it.
   */
  readonly keyBytes?: number;
}

/** RSA-OAEP decryption (RFC 8017 §7.1.2). */
export interface OaepDecryption {
  /** Hashes the key's holder can undo, best first. */
  readonly hashes: readonly OaepHash[];
  /**
   * `"any"`: any label, and an MGF1 hash of its own, may be asked for; a token may still turn out
   * not to know them (`ERR_MECHANISM`). `"empty"`: the holder is known to undo the empty label
   * only, with one hash for both.
   */
  readonly labels: "any" | "empty";
  /**
   * `ciphertext` is as long as the modulus. Resolves to `null` for every fault of the ciphertext;
   * rejects only where the fault has nothing to do with it (token gone, PIN refused).
   *
   * With `evenly`, a block that does not decrypt costs as many calls as one that does: for formats
   * where whoever chooses blocks can watch what becomes of them.
   */
  decrypt(
    ciphertext: Uint8Array,
    parameters: OaepParameters,
    options?: UseOptions & { readonly evenly?: boolean },
  ): Promise<Secret | null>;
}

/**
 * A private key, ready to use. It has a member for each thing it can do and none for what it can't;
 * `purpose.ts` says what is missing.
 */
export interface PrivateKey<Public extends KnownPublicKey = PublicKey> {
  /** Its public half. */
  readonly publicKey: Public;
  readonly oaep?: OaepDecryption;
  /**
   * RSAES-PKCS1-v1_5 decryption (RFC 8017 §7.2.2), always with as many calls for a bad block as
   * for a good one. Resolves and rejects as `OaepDecryption.decrypt`. The `null` must not be seen
   * by anybody: `unwrapRsa` (src/wrap) puts another key in its place. A library below may do the
   * same by itself and deliver a key of random length.
   */
  readonly decryptPkcs1?: (ciphertext: Uint8Array, options?: UseOptions) => Promise<Secret | null>;
  /**
   * Raw Diffie-Hellman (SP 800-56A §5.7.1.2, RFC 7748 §6.1): the shared x-coordinate, as long as
   * the field. `peer` is a point already checked to be on the curve. Resolves and rejects as
   * `OaepDecryption.decrypt`.
   */
  readonly agree?: (peer: Uint8Array, options?: UseOptions) => Promise<Secret | null>;
  /**
   * A KEM's Decap, of a hybrid (RFC 9180 §4) or of ML-KEM alone (FIPS 203 §7.3): the shared
   * secret, 32 bytes. Resolves and rejects as `OaepDecryption.decrypt`, but a wrong ML-KEM
   * ciphertext gives another secret, not `null`.
   */
  readonly decapsulate?: (enc: Uint8Array, options?: UseOptions) => Promise<Secret | null>;
  /**
   * Signs `message` with the algorithm of `signatureAlgorithm(publicKey)`: ECDSA as r‖s, each as
   * long as the order (IEEE P1363); RSASSA-PSS as long as the modulus; Ed25519 64 bytes.
   */
  readonly sign?: (message: Uint8Array) => Promise<Uint8Array>;
  /**
   * RSASSA-PKCS1-v1_5 (RFC 8017 §8.2.1) over `payload`, a DigestInfo or a bare digest: pads it as
   * block type 01 and applies the private key. The result is big-endian, as long as the modulus.
   */
  readonly signPkcs1?: (payload: Uint8Array) => Promise<Uint8Array>;
}

/** An RSA key's: it may both decrypt and sign. */
export type RsaPrivateKey = PrivateKey<RsaPublicKey>;

/** A key pair, as people know it. */
export interface NamedKey<Public extends KnownPublicKey = PublicKey> {
  readonly publicKey: Public;
  /** How a person knows it: a `pkcs11:` URI or a file's name. Public. */
  readonly name: string;
  /** What people call the key, where its name does not say it: some URIs have ids alone. */
  readonly label?: string;
  /** Certificates that lie beside the key, DER: in its file, or on its token. Nobody vouched. */
  readonly certificates?: readonly Uint8Array[];
}

/** What can reach a private key: on a token, or in memory. */
export interface Identity<Public extends KnownPublicKey = PublicKey> extends NamedKey<Public> {
  /** May ask for a PIN, once: called when the key is needed, and never before a match. */
  unlock(): Promise<PrivateKey<Public>>;
}
