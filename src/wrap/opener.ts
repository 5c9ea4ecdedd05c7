/**
 * From the wrapped keys of a message, of whatever format, to its content key, by way of one private
 * key: which identities match is found out with public values alone, then one is unlocked, for one
 * operation with its private key.
 */
import { NoMatchError, P11SealError, PolicyError } from "../errors.js";
import { titleOf } from "../keys/around.js";
import type { KnownPublicKey, Identity, OaepParameters, PrivateKey } from "../keys/key.js";
import { requireCapability } from "../keys/purpose.js";
import { fewOf } from "../printable.js";
import { Secret } from "../secret.js";
import {
  agreed,
  hpkeOpen,
  hpkeOpenHybrid,
  kemOf,
  type HpkeCurve,
  type HpkeKem,
  type HpkeSealed,
} from "./hpke.js";
import type { HpkeRecipient } from "./hpke-recipient.js";
import { orSubstitute, randomSubstitute, type Rejection, type Unwrapped } from "./rejection.js";
import { type RsaWrap, unwrapRsa } from "./rsa-unwrap.js";

/** The content key under HPKE's base mode (RFC 9180 §6.1). */
export interface HpkeWrap extends HpkeSealed {
  readonly type: "hpke";
  readonly kem: HpkeKem;
  /** As of `AgreementWrap`. */
  readonly unnamed?: boolean;
}

/** The content key under what a format derives from raw Diffie-Hellman in a way of its own. */
export interface AgreementWrap {
  readonly type: "agreement";
  readonly curve: HpkeCurve;
  /** An uncompressed point, or a u-coordinate. */
  readonly peer: Uint8Array;
  /** The content key; `null` for every fault. `shared` is as long as the curve's field. */
  readonly open: (shared: Uint8Array) => Uint8Array | null;
  /** It doesn't say whose it is: any key of its curve may turn out to be the one. */
  readonly unnamed?: boolean;
}

/** The content key under what a format derives from a KEM's shared secret in a way of its own. */
export interface KemWrap {
  readonly type: "kem";
  readonly ciphertext: Uint8Array;
  /** The content key; `null` for every fault. */
  readonly open: (shared: Uint8Array) => Uint8Array | null;
}

/** The content key as one recipient's stanza has it. */
export type WrappedKey = RsaWrap | HpkeWrap | AgreementWrap | KemWrap;

/** What a format says of a message's wrapped keys. */
export interface WrappedKeys {
  /**
   * Those that were made for this key, as its tag or name in the message tells; and those that may
   * have been (`unnamed`).
   */
  readonly for: (key: KnownPublicKey) => readonly WrappedKey[];
  /** Length of the content key. */
  readonly keyBytes: number;
  /** Throws to refuse a key that matched, before it is unlocked. */
  readonly admit?: (key: KnownPublicKey) => void;
  /**
   * What goes on where an RSA wrap gives no key; by default random bytes. A format with PKCS#1 v1.5
   * needs one that is the same for the same wrap (`derivedSubstitute`).
   */
  readonly substituteFor?: (wrap: RsaWrap) => Secret;
}

export interface OpenedByKey {
  readonly identity: Identity<KnownPublicKey>;
  /** Always `keyBytes` long; what is under it tells whether it was the message's. */
  readonly contentKey: Secret;
  /** Which of the identity's wraps it came by. */
  readonly wrap: WrappedKey;
}

/**
 * The content key through the first identity that a wrap names. One whose holder can't do what its
 * wraps need (another OAEP hash, no such operation) gives way to the next: that says nothing of the
 * message. Any other failure ends the opening.
 *
 * Wraps that name nobody come last, each an operation with each key that may be theirs: whoever
 * calls decides which keys are worth that.
 *
 * @throws NoMatchError `ERR_NO_MATCH`, before any identity was unlocked, or after all that may have
 *   matched were tried; PolicyError `ERR_OAEP_HASH`; TokenError from unlocking; whatever `admit`
 *   throws
 */
export async function openByKey(
  identities: readonly Identity<KnownPublicKey>[],
  wrapped: WrappedKeys,
): Promise<OpenedByKey> {
  const candidates = identities.map((identity) => {
    const wraps = wrapped.for(identity.publicKey);
    return { identity, named: wraps.filter((wrap) => !isUnnamed(wrap)), wraps };
  });
  let refusal: P11SealError | undefined;
  for (const { identity, named } of candidates) {
    if (named.length === 0) continue;
    try {
      const privateKey = await unlock(identity, wrapped);
      const wrap = bestOf(named, privateKey);
      const { key } = await unwrapOne(privateKey, wrap, wrapped);
      return { identity, contentKey: key, wrap };
    } catch (error) {
      refusal ??= unfitness(error);
    }
  }
  for (const { identity, wraps } of candidates) {
    const unnamed = wraps.filter(isUnnamed);
    if (unnamed.length === 0) continue;
    try {
      const privateKey = await unlock(identity, wrapped);
      for (const wrap of unnamed) {
        const { key, genuine } = await unwrapOne(privateKey, wrap, wrapped);
        if (genuine) return { identity, contentKey: key, wrap };
        key.wipe();
      }
    } catch (error) {
      refusal ??= unfitness(error);
    }
  }
  throw refusal ?? noMatch(identities);
}

/**
 * The content key of one wrap that was made for this key, or may have been. `null` where it has
 * none: only for formats whose wraps are authenticated, or have OAEP, and whose content key goes to
 * another program, which must be told.
 *
 * @throws PolicyError `ERR_OAEP_HASH`; TokenError
 */
export async function contentKeyOf(
  privateKey: PrivateKey<KnownPublicKey>,
  wrap: WrappedKey,
  wrapped: WrappedKeys,
): Promise<Secret | null> {
  const { key, genuine } = await unwrapOne(privateKey, bestOf([wrap], privateKey), wrapped);
  if (genuine) return key;
  key.wipe();
  return null;
}

/** True for a wrap that does not say whose it is. */
export function isUnnamed(wrap: WrappedKey): boolean {
  return (wrap.type === "agreement" || wrap.type === "hpke") && wrap.unnamed === true;
}

function unlock(
  identity: Identity<KnownPublicKey>,
  { admit }: WrappedKeys,
): Promise<PrivateKey<KnownPublicKey>> {
  admit?.(identity.publicKey);
  return identity.unlock();
}

/** What is wrong with an identity, whatever the message. @throws any other error */
function unfitness(error: unknown): P11SealError {
  if (error instanceof P11SealError && isUnfit(error)) return error;
  throw error;
}

/** True for what the holder of a key can't do: that says nothing of the message or other keys. */
export function isUnfit({ code }: P11SealError): boolean {
  return UNFIT.has(code);
}

const UNFIT: ReadonlySet<string> = new Set(["ERR_OAEP_HASH", "ERR_MECHANISM"]);

function noMatch(identities: readonly Identity<KnownPublicKey>[]): NoMatchError {
  const names = identities.map(titleOf);
  return new NoMatchError("ERR_NO_MATCH", "no identity matches a recipient of this message", {
    hint: `identities tried: ${fewOf(names, 3) || "none"}; see whom it is for with: p11seal inspect`,
  });
}

function unwrapOne(
  privateKey: PrivateKey<KnownPublicKey>,
  wrap: WrappedKey,
  { keyBytes, substituteFor }: WrappedKeys,
): Promise<Unwrapped> {
  const fits = (length: number): boolean => length === keyBytes;
  if (wrap.type !== "rsa-oaep" && wrap.type !== "rsa-pkcs1") {
    const rejection: Rejection = { fits, substitute: randomSubstitute(keyBytes) };
    return orSubstitute(() => secretOf(privateKey, wrap), rejection);
  }
  const substitute = substituteFor?.(wrap) ?? randomSubstitute(keyBytes);
  return unwrapRsa(privateKey, wrap, { fits, substitute }, { keyBytes });
}

/** The wrap to try: with RSA-OAEP, the one whose hash the key's holder undoes best. */
function bestOf(wraps: readonly WrappedKey[], privateKey: PrivateKey<KnownPublicKey>): WrappedKey {
  const oaepWraps = wraps.filter((wrap) => wrap.type === "rsa-oaep");
  const [other] = wraps.filter((wrap) => wrap.type !== "rsa-oaep");
  if (oaepWraps.length > 0) {
    const { hashes, labels } = requireCapability(privateKey, "oaep");
    for (const hash of hashes) {
      const found = oaepWraps.find(
        ({ parameters }) =>
          parameters.hash === hash && (labels === "any" || needsNoLabel(parameters)),
      );
      if (found !== undefined) return found;
    }
    if (other === undefined) throw noSuchOaep(oaepWraps, hashes);
  }
  if (other === undefined) throw new TypeError("no wrap was made for this key");
  return other;
}

function needsNoLabel({ hash, mgfHash = hash, label }: OaepParameters): boolean {
  return mgfHash === hash && (label === undefined || label.length === 0);
}

function noSuchOaep(
  wraps: readonly { readonly parameters: OaepParameters }[],
  hashes: readonly string[],
): PolicyError {
  const used = wraps.map(({ parameters }) =>
    needsNoLabel(parameters) ? parameters.hash : `${parameters.hash} with a label`,
  );
  const can = hashes.join(", ") || "none";
  if (wraps.every(({ parameters }) => !needsNoLabel(parameters))) {
    return new PolicyError(
      "ERR_OAEP_HASH",
      `sealed with RSA-OAEP ${used.join(", ")}; the key's token can undo ${can}, without labels`,
      { hint: "have it sealed in p11seal's own format, or to a key that may decrypt" },
    );
  }
  return new PolicyError(
    "ERR_OAEP_HASH",
    `sealed with RSA-OAEP ${used.join(", ")}; the key's token can undo ${can}`,
    { hint: "export the key again with `p11seal keys export`, or seal with --oaep sha1" },
  );
}

function secretOf(
  privateKey: PrivateKey<KnownPublicKey>,
  wrap: HpkeWrap | AgreementWrap | KemWrap,
): Promise<Secret | null> {
  switch (wrap.type) {
    case "hpke":
      return hpkeSecret(privateKey, wrap);
    case "agreement":
      return agreementSecret(privateKey, wrap);
    case "kem":
      return kemSecret(privateKey, wrap);
  }
}

async function kemSecret(
  privateKey: PrivateKey<KnownPublicKey>,
  { ciphertext, open }: KemWrap,
): Promise<Secret | null> {
  const shared = await requireCapability(privateKey, "decapsulate")(ciphertext);
  return shared === null ? null : derived(shared, open);
}

async function hpkeSecret(
  privateKey: PrivateKey<KnownPublicKey>,
  wrap: HpkeWrap,
): Promise<Secret | null> {
  const recipient = keyFor(privateKey.publicKey, wrap.kem);
  const key =
    recipient.type === "hybrid"
      ? await hpkeOpenHybrid(recipient, requireCapability(privateKey, "decapsulate"), wrap)
      : await hpkeOpen(recipient, requireCapability(privateKey, "agree"), wrap);
  return key === null ? null : new Secret(key);
}

async function agreementSecret(
  privateKey: PrivateKey<KnownPublicKey>,
  { curve, peer, open }: AgreementWrap,
): Promise<Secret | null> {
  const agree = requireCapability(privateKey, "agree");
  keyFor(privateKey.publicKey, curve);
  const shared = await agreed(curve, agree, peer);
  return shared === null ? null : derived(shared, open);
}

/** What `open` makes of a shared secret, which is wiped. */
function derived(shared: Secret, open: AgreementWrap["open"]): Secret | null {
  try {
    const key = open(shared.expose());
    return key === null ? null : new Secret(key);
  } finally {
    shared.wipe();
  }
}

/** @throws TypeError a format's mistake: it takes a wrap for one of a key that can't undo it */
function keyFor(key: KnownPublicKey, kem: HpkeKem): HpkeRecipient {
  const isOther = key.type === "rsa" || key.type === "ed25519" || key.type === "ml-kem";
  if (!isOther && kemOf(key) === kem) return key;
  throw new TypeError("the wrap was made for a key of another kind");
}
