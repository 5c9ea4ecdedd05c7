/**
 * What a private key is wanted for, and the one place that says why a key can't serve: its kind,
 * which the public half shows, or something that its holder doesn't do.
 */
import { TokenError, UnsupportedError } from "../errors.js";
import type {
  KnownPublicKey,
  ExchangePublicKey,
  HybridPublicKey,
  PrivateKey,
  PublicKey,
  RsaPublicKey,
  SigningPublicKey,
} from "./key.js";
import { naming } from "./refusals.js";
import { signatureAlgorithm } from "./signing.js";

/** Purposes, each with the kinds of key that can serve it. */
export interface PurposeKeys {
  /** Opening messages: RSA-OAEP, or Diffie-Hellman on a curve. */
  readonly open: ExchangePublicKey;
  /** Signing messages. */
  readonly sign: SigningPublicKey;
  /** Signing as X.509 and CMS do: with RSA, PKCS#1 v1.5 or PSS. */
  readonly "x509-sign": SigningPublicKey;
  /** Opening what CryptoAPI sends: PKCS#1 v1.5, or RSA-OAEP with SHA-1. */
  readonly "capi-open": RsaPublicKey;
  /** Signing as CryptoAPI does: PKCS#1 v1.5. */
  readonly "capi-sign": RsaPublicKey;
}

export type Purpose = keyof PurposeKeys;

/** Keys that can serve a purpose by themselves: a hybrid one is put together from two. */
export type SinglePurposeKey<P extends Purpose> = Exclude<PurposeKeys[P], HybridPublicKey>;

/**
 * Refuses a key of a kind that can't serve. `name` is how the error calls the key.
 *
 * @throws UnsupportedError `ERR_SIGN_ONLY`, `ERR_SIGNING_KEY`, `ERR_KEY_TYPE`
 */
export function requireKind<P extends Purpose>(
  publicKey: PublicKey,
  purpose: P,
  name: string,
): PurposeKeys[P];
export function requireKind(publicKey: PublicKey, purpose: Purpose, name: string): PublicKey {
  switch (purpose) {
    case "open":
      if (publicKey.type !== "ed25519") return publicKey;
      throw new UnsupportedError("ERR_SIGN_ONLY", `${name} can only sign`);
    case "sign":
    case "x509-sign":
      naming(name, () => signatureAlgorithm(publicKey));
      return publicKey;
    case "capi-open":
    case "capi-sign":
      if (publicKey.type === "rsa") return publicKey;
      throw new UnsupportedError("ERR_KEY_TYPE", `${name} is not an RSA key`, {
        hint: "CryptoAPI's exchange and signature keys are RSA keys",
      });
  }
}

/** What a private key may be able to do. */
export type Capability = Exclude<keyof PrivateKey, "publicKey">;

/**
 * The member of `key` that does what is wanted.
 *
 * @throws UnsupportedError `ERR_SIGNING_KEY`, `ERR_KEY_TYPE`: no key of this kind can; TokenError
 *   `ERR_MECHANISM`: this key's holder can't
 */
export function requireCapability<C extends Capability>(
  key: PrivateKey<KnownPublicKey>,
  wanted: C,
): NonNullable<PrivateKey<KnownPublicKey>[C]> {
  const found = key[wanted];
  if (found !== undefined) return found;
  const { publicKey } = key;
  if (wanted === "sign" && publicKey.type !== "ml-kem") signatureAlgorithm(publicKey);
  const { types, what } = CAPABILITIES[wanted];
  if (!types.includes(key.publicKey.type)) {
    throw new UnsupportedError(
      "ERR_KEY_TYPE",
      `a key of type ${key.publicKey.type} cannot ${what}`,
    );
  }
  throw new TokenError("ERR_MECHANISM", `this key cannot ${what}`, {
    hint: "neither the key's attributes nor the token's mechanisms allow it",
  });
}

const CAPABILITIES: Readonly<
  Record<Capability, { readonly types: readonly KnownPublicKey["type"][]; readonly what: string }>
> = {
  oaep: { types: ["rsa"], what: "undo RSA-OAEP" },
  decryptPkcs1: { types: ["rsa"], what: "undo PKCS#1 v1.5" },
  agree: { types: ["ec", "x25519"], what: "derive a shared secret" },
  decapsulate: { types: ["hybrid", "ml-kem"], what: "undo a KEM" },
  sign: { types: ["rsa", "ec", "ed25519"], what: "sign messages" },
  signPkcs1: { types: ["rsa"], what: "sign with PKCS#1 v1.5" },
};
