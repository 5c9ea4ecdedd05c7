/** The file key in a stanza for each recipient, and a file's stanzas as the opener takes them. */
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import { concat, equal } from "../../bytes.js";
import type {
  EcPublicKey,
  HybridKem,
  HybridPublicKey,
  KnownPublicKey,
  PublicKey,
  RsaPublicKey,
  X25519PublicKey,
} from "../../keys/key.js";
import { notAddressable } from "../../keys/formats/age-keys.js";
import { compress, decompress } from "../../keys/public-key.js";
import type { Secret } from "../../secret.js";
import { hpkeSeal, type HpkeKem } from "../../wrap/hpke.js";
import { agreeWith } from "../../wrap/hpke-parts.js";
import type { AgreementWrap, HpkeWrap, WrappedKey, WrappedKeys } from "../../wrap/opener.js";
import { oaepEncrypt } from "../../wrap/rsa-oaep.js";
import { AGE_SSH_OAEP } from "../../keys/formats/ssh.js";
import {
  enclosedTag,
  FILE_KEY_BYTES,
  type HpkeType,
  pivTag,
  sshTag,
  stanzaLabel,
  type Stanza,
} from "./stanzas.js";

// ── Sealing ──

/**
 * The stanza for a recipient.
 *
 * @throws UnsupportedError `ERR_KEY_TYPE`: age can't address such a key
 */
export async function wrapFor(key: PublicKey, fileKey: Secret): Promise<Stanza> {
  switch (key.type) {
    case "x25519":
      return wrapX25519(key, fileKey);
    case "rsa":
      return wrapRsa(key, fileKey);
    case "ec":
      if (key.curve === "P-256") return wrapP256(key, fileKey);
      throw notAddressable(key);
    case "hybrid":
      if (key.kem !== "mlkem1024-p384") return wrapHybrid(key, key.kem, fileKey);
      throw notAddressable(key);
    case "ed25519":
      throw notAddressable(key);
  }
}

function wrapX25519(key: X25519PublicKey, fileKey: Secret): Stanza {
  const { enc: share, dh } = agreeWith(key);
  const wrapKey = x25519WrapKey(dh, share, key.point);
  dh.fill(0);
  return { type: "X25519", share, body: sealUnder(wrapKey, fileKey.expose()) };
}

function wrapRsa(key: RsaPublicKey, fileKey: Secret): Stanza {
  const body = oaepEncrypt(key.object, fileKey.expose(), AGE_SSH_OAEP);
  return { type: "ssh-rsa", tag: sshTag(key), body };
}

async function wrapP256(key: EcPublicKey, fileKey: Secret): Promise<Stanza> {
  const type = "p256tag";
  const { enc, body } = await sealHpke(key, type, fileKey);
  return { type, tag: enclosedTag(type, enc, key.point), enc, body };
}

async function wrapHybrid(
  key: HybridPublicKey,
  kem: Exclude<HybridKem, "mlkem1024-p384">,
  fileKey: Secret,
): Promise<Stanza> {
  const type = kem === "mlkem768-p256" ? "mlkem768p256tag" : "mlkem768x25519";
  const { enc, body } = await sealHpke(key, type, fileKey);
  if (type === "mlkem768x25519") return { type, enc, body };
  return { type, tag: enclosedTag(type, enc, key.dh.point), enc, body };
}

async function sealHpke(
  key: EcPublicKey | HybridPublicKey,
  type: HpkeType,
  fileKey: Secret,
): Promise<{ enc: Uint8Array; body: Uint8Array }> {
  const info = stanzaLabel(type);
  const { enc, ciphertext } = await hpkeSeal(key, fileKey.expose(), info, NOTHING, AEAD);
  return { enc, body: ciphertext };
}

// ── Opening ──

/** What the opener is told of a file's stanzas. */
export function wrappedKeys(stanzas: readonly Stanza[]): WrappedKeys {
  return {
    for: (key) => stanzas.flatMap((stanza) => wrappedBy(stanza, key) ?? []),
    keyBytes: FILE_KEY_BYTES,
  };
}

/**
 * The stanza's wrapped key, if the stanza is for this key, or may be: one of X25519 does not say.
 */
export function wrappedBy(stanza: Stanza, key: KnownPublicKey): WrappedKey | undefined {
  switch (stanza.type) {
    case "X25519":
      return key.type === "x25519" ? x25519Wrap(stanza, key) : undefined;
    case "p256tag":
      return isP256(key) && isTagged(stanza, key.point) ? hpkeWrap(stanza, "P-256") : undefined;
    case "mlkem768p256tag": {
      const kem = "mlkem768-p256";
      if (key.type !== "hybrid" || key.kem !== kem) return undefined;
      return isTagged(stanza, key.dh.point) ? hpkeWrap(stanza, kem) : undefined;
    }
    case "mlkem768x25519": {
      const kem = "mlkem768-x25519";
      if (key.type !== "hybrid" || key.kem !== kem) return undefined;
      return { ...hpkeWrap(stanza, kem), unnamed: true };
    }
    case "piv-p256":
      return isP256(key) && equal(pivTag(key), stanza.tag) ? pivWrap(stanza, key) : undefined;
    case "ssh-rsa": {
      const { tag, body: ciphertext } = stanza;
      if (key.type !== "rsa" || ciphertext.length !== key.modulus.length) return undefined;
      if (!equal(sshTag(key), tag)) return undefined;
      return { type: "rsa-oaep", parameters: AGE_SSH_OAEP, ciphertext };
    }
    case "scrypt":
    case "unknown":
      return undefined;
  }
}

type StanzaOf<Type extends Stanza["type"]> = Extract<Stanza, { type: Type }>;

function hpkeWrap({ type, enc, body: ciphertext }: StanzaOf<HpkeType>, kem: HpkeKem): HpkeWrap {
  const info = stanzaLabel(type);
  return { type: "hpke", kem, enc, ciphertext, info, aad: NOTHING, aead: AEAD };
}

function isTagged(
  { type, enc, tag }: StanzaOf<"p256tag" | "mlkem768p256tag">,
  point: Uint8Array,
): boolean {
  return equal(enclosedTag(type, enc, point), tag);
}

function x25519Wrap(
  { share, body }: StanzaOf<"X25519">,
  { point }: X25519PublicKey,
): AgreementWrap {
  return {
    type: "agreement",
    curve: "X25519",
    peer: share,
    open: (shared) => openUnder(x25519WrapKey(shared, share, point), body),
    unnamed: true,
  };
}

function pivWrap({ share, body }: StanzaOf<"piv-p256">, { point }: EcPublicKey): AgreementWrap {
  const salt = concat(share, compress(point));
  return {
    type: "agreement",
    curve: "P-256",
    peer: decompress("P-256", share),
    open: (shared) => openUnder(hkdf(shared, salt, "piv-p256"), body),
  };
}

function x25519WrapKey(shared: Uint8Array, share: Uint8Array, point: Uint8Array): Uint8Array {
  return hkdf(shared, concat(share, point), "age-encryption.org/v1/X25519");
}

function isP256(key: KnownPublicKey): key is EcPublicKey {
  return key.type === "ec" && key.curve === "P-256";
}

// ── The file key under a key of 32 bytes, which encrypts nothing else ──

/** ChaCha20-Poly1305 (RFC 8439 §2.8): ciphertext and tag. Overwrites the key. */
export function sealUnder(wrapKey: Uint8Array, fileKey: Uint8Array): Uint8Array {
  const cipher = createCipheriv(AEAD, wrapKey, NO_NONCE, { authTagLength: TAG_BYTES });
  const ciphertext = concat(cipher.update(fileKey), cipher.final());
  wrapKey.fill(0);
  return concat(ciphertext, cipher.getAuthTag());
}

/** The file key; `null` if it is under another key. Overwrites the key. */
export function openUnder(wrapKey: Uint8Array, body: Uint8Array): Uint8Array | null {
  const decipher = createDecipheriv(AEAD, wrapKey, NO_NONCE, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(body.subarray(FILE_KEY_BYTES));
  const fileKey = new Uint8Array(decipher.update(body.subarray(0, FILE_KEY_BYTES)));
  wrapKey.fill(0);
  try {
    decipher.final();
    return fileKey;
  } catch {
    fileKey.fill(0);
    return null;
  }
}

function hkdf(ikm: Uint8Array, salt: Uint8Array, info: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", ikm, salt, info, 32));
}

const AEAD = "chacha20-poly1305";
const TAG_BYTES = 16;
const NOTHING = new Uint8Array(0);
/** A key from a fresh secret is used once, so its nonce can be fixed. */
const NO_NONCE = new Uint8Array(12);
