/**
 * HPKE, base mode (RFC 9180 §5.1.1), single-shot: the wrap for EC, X25519 and hybrid
 * recipients.
 *
 * The modes and the key schedule are the `hpke` package's, the algorithms `node:crypto`'s
 * (`hpke-parts.ts`). The receiver's private key may sit on a token that only knows raw
 * Diffie-Hellman, so the package is handed a KEM whose `Decap` asks the key to agree and runs the
 * key derivation here, on the host (RFC 9180 §4.1).
 */
import { CipherSuite, type KEMFactory, type Key } from "hpke";
import { concat } from "../bytes.js";
import type {
  EcPublicKey,
  HybridKem,
  HybridPublicKey,
  PrivateKey,
  UseOptions,
  X25519PublicKey,
} from "../keys/key.js";
import { HYBRID_PARTS, validatePoint } from "../keys/public-key.js";
import type { Secret } from "../secret.js";
import {
  AEADS,
  dhkem,
  HKDF_SHA256,
  KEMS,
  sharedSecret,
  type HpkeAead,
  type HpkeCurve,
} from "./hpke-parts.js";
import { recipientKey, type HpkeRecipient } from "./hpke-recipient.js";
import { hybridEncBytes, hybridKem } from "./hybrid-kem.js";

export type { HpkeAead, HpkeCurve } from "./hpke-parts.js";

/** What HPKE is run over: Diffie-Hellman on a curve, or beside ML-KEM. */
export type HpkeKem = HpkeCurve | HybridKem;

/**
 * Bytes of the encapsulated key `enc`: an uncompressed point, or a u-coordinate; of a hybrid,
 * ML-KEM's ciphertext and a point.
 */
export function encBytes(kem: HpkeKem): number {
  return isHybrid(kem) ? hybridEncBytes(kem) : KEMS[kem].encBytes;
}

/** The KEM of a key. */
export function kemOf(key: HpkeRecipient): HpkeKem {
  return key.type === "hybrid" ? key.kem : curveOf(key);
}

/** Bytes of the AEAD tag that `hpkeSeal` adds. */
export const HPKE_TAG_BYTES = 16;

/** What opens: what `hpkeSeal` gave, and what it was given. */
export interface HpkeSealed {
  readonly enc: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly info: Uint8Array;
  readonly aad: Uint8Array;
  /** By default AES-256-GCM. */
  readonly aead?: HpkeAead;
}

/** HPKE's SealBase (RFC 9180 §6.1): `enc` and the ciphertext of `plaintext`. */
export async function hpkeSeal(
  recipient: HpkeRecipient,
  plaintext: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  aead: HpkeAead = "aes-256-gcm",
): Promise<{ enc: Uint8Array; ciphertext: Uint8Array }> {
  const suite = suiteOf(kemOf(recipient), aead);
  const sealed = await suite.Seal(recipientKey(recipient), plaintext, { info, aad });
  return { enc: sealed.encapsulatedSecret, ciphertext: sealed.ciphertext };
}

/**
 * HPKE's OpenBase (RFC 9180 §6.1). `null` for every fault of `enc` or `ciphertext`: a point that
 * is not on the curve, a failed agreement, a wrong tag. Rejects only as `agree` does.
 */
export async function hpkeOpen(
  recipient: EcPublicKey | X25519PublicKey,
  agree: NonNullable<PrivateKey["agree"]>,
  sealed: HpkeSealed,
): Promise<Uint8Array | null> {
  const curve = curveOf(recipient);
  const shared = await agreed(curve, agree, sealed.enc);
  if (shared === null) return null;
  const kem = kemWithAgreement(curve, shared.expose(), recipient.point);
  try {
    return await openUnder(kem, sealed);
  } finally {
    shared.wipe();
  }
}

/** The same with a hybrid key. Rejects only as `decapsulate` does. */
export async function hpkeOpenHybrid(
  { kem }: HybridPublicKey,
  decapsulate: NonNullable<PrivateKey["decapsulate"]>,
  sealed: HpkeSealed,
): Promise<Uint8Array | null> {
  const shared = await decapsulate(sealed.enc);
  if (shared === null) return null;
  // A copy: the package may wipe what its KEM gave.
  const Decap = (): Promise<Uint8Array> => Promise.resolve(shared.expose().slice());
  try {
    return await openUnder(() => ({ ...hybridKem(kem), Decap }), sealed);
  } finally {
    shared.wipe();
  }
}

async function openUnder(
  kem: KEMFactory,
  { enc, ciphertext, info, aad, aead = "aes-256-gcm" }: HpkeSealed,
): Promise<Uint8Array | null> {
  try {
    const suite = new CipherSuite(kem, HKDF_SHA256, AEADS[aead]);
    return await suite.Open(NOWHERE, enc, ciphertext, { info, aad });
  } catch {
    return null;
  }
}

/**
 * Raw Diffie-Hellman with a peer's point, of the right length whatever a token says. `null` for
 * every fault of the point, which never reaches a token, and where the agreement fails. Rejects
 * only as `agree` does.
 */
export async function agreed(
  curve: HpkeCurve,
  agree: NonNullable<PrivateKey["agree"]>,
  peer: Uint8Array,
  options?: UseOptions,
): Promise<Secret | null> {
  if (!isPoint(curve, peer)) return null;
  const shared = await agree(peer, options);
  if (shared === null) return null;
  const dh = shared.expose();
  if (dh.length === KEMS[curve].dhBytes && !(curve === "X25519" && isZero(dh))) return shared;
  shared.wipe();
  return null;
}

/** The suite `hpkeSeal` uses: the key's KEM, HKDF-SHA-256, and the AEAD. */
function suiteOf(kem: HpkeKem, aead: HpkeAead): CipherSuite {
  return (made[`${kem} ${aead}`] ??= new CipherSuite(
    () => (isHybrid(kem) ? hybridKem(kem) : dhkem(kem)),
    HKDF_SHA256,
    AEADS[aead],
  ));
}
const made: Partial<Record<`${HpkeKem} ${HpkeAead}`, CipherSuite>> = {};

/** True for ML-KEM beside a curve. */
export function isHybrid(kem: HpkeKem): kem is HybridKem {
  return kem in HYBRID_PARTS;
}

function curveOf(key: EcPublicKey | X25519PublicKey): HpkeCurve {
  return key.type === "ec" ? key.curve : "X25519";
}

/**
 * True when `enc` is a valid public key in its canonical encoding; a point never reaches a token
 * without this. X25519 points of small order show as an all-zero secret.
 */
function isPoint(curve: HpkeCurve, enc: Uint8Array): boolean {
  if (enc.length !== KEMS[curve].encBytes) return false;
  try {
    validatePoint(curve, enc);
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
  const Decap = (enc: Uint8Array): Promise<Uint8Array> =>
    sharedSecret(curve, dh, concat(enc, publicPoint));
  return () => ({ ...dhkem(curve), Decap });
}

/** The package wants a private key to pass to Decap; ours is on the other side of `agree`. */
const NOWHERE: Key = { algorithm: { name: "token" }, extractable: false, type: "private" };
