/**
 * What a key is, apart from where it lives: the first of the project's joints.
 *
 * A *recipient* is a public value a message is sealed to. An *identity* is what can reach the
 * matching private key, on a token or in memory; `unlock` may ask for a PIN, so it is called only
 * after a recipient of the message matched.
 */
import type { KeyObject } from "node:crypto";
import type { Secret } from "../secret.js";

/** OAEP's hash; MGF1 uses the same one (RFC 8017 §7.1). */
export type OaepHash = "sha1" | "sha256" | "sha384" | "sha512";

/** The curves a message can be sealed under. */
export type EcCurve = "P-256" | "P-384" | "P-521";

interface AnyPublicKey {
  /** SubjectPublicKeyInfo, DER, in its one canonical encoding (RFC 5280 §4.1). */
  readonly spki: Uint8Array;
  /** SHA-256 of `spki`, 32 bytes: the key's fingerprint, and what recipient tags are made from. */
  readonly fingerprint: Uint8Array;
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

export type ExchangePublicKey = RsaPublicKey | EcPublicKey | X25519PublicKey;
export type PublicKey = ExchangePublicKey | Ed25519PublicKey;

/** Whom a message is sealed to. */
export interface Recipient {
  readonly publicKey: ExchangePublicKey;
  /**
   * For RSA: the OAEP hash the holder's token is known to unwrap, as recorded with the exported
   * key. Without it the sender writes one stanza for SHA-256 and one for SHA-1.
   */
  readonly oaep?: OaepHash;
}

/** Told how a token is asked, as in `C_UnwrapKey CKM_RSA_PKCS_OAEP sha256`; of the last one that it was. */
export type Using = (path: string) => void;

/** The private half of an RSA recipient. */
export interface RsaPrivateKey {
  readonly type: "rsa";
  /** Hashes this key's holder can undo OAEP with, best first. */
  readonly oaepHashes: readonly OaepHash[];
  /**
   * Undoes RSA-OAEP with an empty label (RFC 8017 §7.1.2). `ciphertext` is as long as the modulus.
   * Resolves to `null` for every fault of the ciphertext; rejects only where the fault has nothing
   * to do with it (token gone, PIN refused).
   */
  decryptOaep(ciphertext: Uint8Array, hash: OaepHash, using?: Using): Promise<Secret | null>;
}

/** The private half of an EC or X25519 recipient. */
export interface EcPrivateKey {
  readonly type: "ec" | "x25519";
  /**
   * Raw Diffie-Hellman (SP 800-56A §5.7.1.2, RFC 7748 §6.1): the shared x-coordinate, as long as
   * the field. `peer` is a point already checked to be on the curve. Fails like `decryptOaep`.
   */
  agree(peer: Uint8Array, using?: Using): Promise<Secret | null>;
}

export type PrivateKey = RsaPrivateKey | EcPrivateKey;

/** What can reach a private key. */
export interface Identity {
  readonly publicKey: ExchangePublicKey;
  /** How a person knows it: a `pkcs11:` URI or a file's name. Public. */
  readonly name: string;
  /** May ask for a PIN, once: called for each message to open, and only after a match. */
  unlock(): Promise<PrivateKey>;
}
