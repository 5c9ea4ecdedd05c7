/**
 * HPKE, base mode (RFC 9180 §5.1.1), single-shot: the wrap for EC and X25519 recipients.
 *
 * The sender's half and the key schedule are the `hpke` package's. The receiver's private key may
 * sit on a token that only knows raw Diffie-Hellman, so the package is handed a KEM whose `Decap`
 * asks the key to agree and runs the key derivation here, on the host (RFC 9180 §4.1).
 */
import {
  AEAD_AES_256_GCM,
  CipherSuite,
  KDF_HKDF_SHA256,
  KDF_HKDF_SHA384,
  KDF_HKDF_SHA512,
  KEM_DHKEM_P256_HKDF_SHA256,
  KEM_DHKEM_P384_HKDF_SHA384,
  KEM_DHKEM_P521_HKDF_SHA512,
  KEM_DHKEM_X25519_HKDF_SHA256,
  LabeledExpand,
  LabeledExtract,
  concat,
  encode,
  I2OSP,
  type KDFFactory,
  type KEM,
  type KEMFactory,
  type Key,
} from "hpke";
import type { EcCurve, EcPrivateKey, EcPublicKey, X25519PublicKey } from "../keys/key.js";
import { publicKeyFromEcPoint } from "../keys/public-key.js";

/** What HPKE is run over: a curve of Diffie-Hellman. */
export type HpkeCurve = EcCurve | "X25519";

/** Bytes of the encapsulated key `enc`: an uncompressed point, or a u-coordinate. */
export function encBytes(curve: HpkeCurve): number {
  return KEMS[curve].encBytes;
}

/** Bytes of the AEAD tag that `hpkeSeal` adds (AES-256-GCM). */
export const HPKE_TAG_BYTES = 16;

/** HPKE's SealBase (RFC 9180 §6.1): `enc` and the ciphertext of `plaintext`. */
export async function hpkeSeal(
  recipient: EcPublicKey | X25519PublicKey,
  plaintext: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
): Promise<{ enc: Uint8Array; ciphertext: Uint8Array }> {
  const suite = suites(curveOf(recipient));
  const publicKey = await suite.DeserializePublicKey(recipient.point);
  const sealed = await suite.Seal(publicKey, plaintext, { info, aad });
  return { enc: sealed.encapsulatedSecret, ciphertext: sealed.ciphertext };
}

/**
 * HPKE's OpenBase (RFC 9180 §6.1). `null` for every fault of `enc` or `ciphertext`: a point that is
 * not on the curve, a failed agreement, a wrong tag. Rejects only as `privateKey.agree` does.
 */
export async function hpkeOpen(
  recipient: EcPublicKey | X25519PublicKey,
  privateKey: EcPrivateKey,
  enc: Uint8Array,
  ciphertext: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array | null> {
  const curve = curveOf(recipient);
  if (!isPoint(curve, enc)) return null;
  const shared = await privateKey.agree(enc);
  if (shared === null) return null;
  const dh = shared.expose();
  try {
    if (dh.length !== KEMS[curve].dhBytes || (curve === "X25519" && isZero(dh))) return null;
    const suite = new CipherSuite(
      kemWithAgreement(curve, dh, recipient.point),
      KDF_HKDF_SHA256,
      AEAD_AES_256_GCM,
    );
    return await suite.Open(NOWHERE, enc, ciphertext, { info, aad });
  } catch {
    return null;
  } finally {
    shared.wipe();
  }
}

/** The suite `hpkeSeal` uses for a curve: the curve's DHKEM, HKDF-SHA-256, AES-256-GCM. */
function suites(curve: HpkeCurve): CipherSuite {
  return (made[curve] ??= new CipherSuite(KEMS[curve].kem, KDF_HKDF_SHA256, AEAD_AES_256_GCM));
}
const made: Partial<Record<HpkeCurve, CipherSuite>> = {};

function curveOf(key: EcPublicKey | X25519PublicKey): HpkeCurve {
  return key.type === "ec" ? key.curve : "X25519";
}

/**
 * True when `enc` is a valid public key; a point never reaches a token without this. Every 32 bytes
 * are an X25519 key (RFC 7748 §5); points of small order show as an all-zero secret.
 */
function isPoint(curve: HpkeCurve, enc: Uint8Array): boolean {
  if (enc.length !== KEMS[curve].encBytes) return false;
  if (curve === "X25519") return true;
  try {
    publicKeyFromEcPoint(curve, enc);
    return true;
  } catch {
    return false;
  }
}

/**
 * What X25519 gives for a point of small order, which both sides must refuse (RFC 9180 §7.1.4). A
 * key in memory does so itself; a token need not.
 */
function isZero(dh: Uint8Array): boolean {
  return dh.reduce((all, byte) => all | byte, 0) === 0;
}

/** The curve's KEM with a Decap (RFC 9180 §4.1) that starts from an agreed secret `dh`. */
export function kemWithAgreement(
  curve: HpkeCurve,
  dh: Uint8Array,
  publicPoint: Uint8Array,
): KEMFactory {
  return () => {
    const { kem, kdf } = KEMS[curve];
    const base: Readonly<KEM> = kem();
    return {
      ...base,
      Decap: (enc) => extractAndExpand(base, kdf, dh, concat(enc, publicPoint)),
    };
  };
}

/** ExtractAndExpand(dh, kem_context) (RFC 9180 §4.1). */
async function extractAndExpand(
  kem: Readonly<KEM>,
  kdfFactory: KDFFactory,
  dh: Uint8Array,
  kemContext: Uint8Array,
): Promise<Uint8Array> {
  const kdf = kdfFactory();
  const suiteId = concat(encode("KEM"), I2OSP(kem.id, 2));
  const prk = await LabeledExtract(kdf, suiteId, new Uint8Array(0), encode("eae_prk"), dh);
  return LabeledExpand(kdf, suiteId, prk, encode("shared_secret"), kemContext, kem.Nsecret);
}

/** The package wants a private key to pass to Decap; ours is on the other side of `agree`. */
const NOWHERE: Key = { algorithm: { name: "token" }, extractable: false, type: "private" };

/** RFC 9180 §7.1, table 2: per KEM its KDF, Nenc and Ndh. */
const KEMS: Readonly<
  Record<HpkeCurve, { kem: KEMFactory; kdf: KDFFactory; encBytes: number; dhBytes: number }>
> = {
  "P-256": { kem: KEM_DHKEM_P256_HKDF_SHA256, kdf: KDF_HKDF_SHA256, encBytes: 65, dhBytes: 32 },
  "P-384": { kem: KEM_DHKEM_P384_HKDF_SHA384, kdf: KDF_HKDF_SHA384, encBytes: 97, dhBytes: 48 },
  "P-521": { kem: KEM_DHKEM_P521_HKDF_SHA512, kdf: KDF_HKDF_SHA512, encBytes: 133, dhBytes: 66 },
  X25519: { kem: KEM_DHKEM_X25519_HKDF_SHA256, kdf: KDF_HKDF_SHA256, encBytes: 32, dhBytes: 32 },
};
