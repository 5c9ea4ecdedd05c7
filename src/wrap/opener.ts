/**
 * From the wrapped keys of a message, of whatever format, to its content key, by way of one private
 * key: which identities match is found out with public values alone, then one is unlocked, for one
 * operation with its private key.
 */
import { NoMatchError, P11SealError, PolicyError } from "../errors.js";
import type { Identity, OaepParameters, PrivateKey, PublicKey } from "../keys/key.js";
import { requireCapability } from "../keys/purpose.js";
import { fewOf } from "../printable.js";
import { Secret } from "../secret.js";
import { hpkeOpen, type HpkeCurve } from "./hpke.js";
import { orSubstitute, randomSubstitute, type Rejection } from "./rejection.js";
import { type RsaWrap, unwrapRsa } from "./rsa-unwrap.js";

/** The content key under HPKE's base mode (RFC 9180 §6.1). */
export interface HpkeWrap {
  readonly type: "hpke";
  readonly curve: HpkeCurve;
  readonly enc: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly info: Uint8Array;
  readonly aad: Uint8Array;
}

/** The content key as one recipient's stanza has it. */
export type WrappedKey = RsaWrap | HpkeWrap;

/** What a format says of a message's wrapped keys. */
export interface WrappedKeys {
  /** Those that were made for this key, as its tag or name in the message tells. */
  readonly for: (key: PublicKey) => readonly WrappedKey[];
  /** Length of the content key. */
  readonly keyBytes: number;
  /** Throws to refuse a key that matched, before it is unlocked. */
  readonly admit?: (key: PublicKey) => void;
  /**
   * What goes on where a wrap gives no key; by default random bytes. A format with PKCS#1 v1.5
   * needs one that is the same for the same wrap (`derivedSubstitute`).
   */
  readonly substituteFor?: (wrap: WrappedKey) => Secret;
}

export interface OpenedByKey {
  readonly identity: Identity;
  /** Always `keyBytes` long; what is under it tells whether it was the message's. */
  readonly contentKey: Secret;
}

/**
 * The content key through the first identity that matches. One whose holder can't do what its wraps
 * need (another OAEP hash, no such operation) gives way to the next: that says nothing of the
 * message. Any other failure ends the opening.
 *
 * @throws NoMatchError `ERR_NO_MATCH`, before any identity was unlocked; PolicyError
 *   `ERR_OAEP_HASH`; TokenError from unlocking; whatever `admit` throws
 */
export async function openByKey(
  identities: readonly Identity[],
  wrapped: WrappedKeys,
): Promise<OpenedByKey> {
  let refusal: unknown;
  for (const { identity, wraps } of matching(identities, wrapped)) {
    wrapped.admit?.(identity.publicKey);
    try {
      const privateKey = await identity.unlock();
      const contentKey = await unwrapOne(identity.publicKey, privateKey, wraps, wrapped);
      return { identity, contentKey };
    } catch (error) {
      if (!(error instanceof P11SealError) || !UNFIT.has(error.code)) throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

/** What is wrong with an identity, whatever the message. */
const UNFIT: ReadonlySet<string> = new Set(["ERR_OAEP_HASH", "ERR_MECHANISM"]);

/** Identities that a wrap was made for, with its wraps; at least one. Nothing is unlocked here. */
function matching(
  identities: readonly Identity[],
  wrapped: WrappedKeys,
): { identity: Identity; wraps: readonly WrappedKey[] }[] {
  const found = identities
    .map((identity) => ({ identity, wraps: wrapped.for(identity.publicKey) }))
    .filter(({ wraps }) => wraps.length > 0);
  if (found.length > 0) return found;
  const tried =
    fewOf(
      identities.map(({ name }) => name),
      3,
    ) || "none";
  throw new NoMatchError("ERR_NO_MATCH", "no identity matches a recipient of this message", {
    hint: `identities tried: ${tried}; see whom it is for with: p11seal inspect`,
  });
}

async function unwrapOne(
  publicKey: PublicKey,
  privateKey: PrivateKey,
  wraps: readonly WrappedKey[],
  { keyBytes, substituteFor = () => randomSubstitute(keyBytes) }: WrappedKeys,
): Promise<Secret> {
  const wrap = bestOf(wraps, privateKey);
  const rejection: Rejection = {
    fits: (length) => length === keyBytes,
    substitute: substituteFor(wrap),
  };
  const { key } =
    wrap.type === "hpke"
      ? await orSubstitute(() => hpkeSecret(publicKey, privateKey, wrap), rejection)
      : await unwrapRsa(privateKey, wrap, rejection, { keyBytes });
  return key;
}

/** The wrap to try: with RSA-OAEP, the one whose hash the key's holder undoes best. */
function bestOf(wraps: readonly WrappedKey[], privateKey: PrivateKey): WrappedKey {
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
  return new PolicyError(
    "ERR_OAEP_HASH",
    `sealed with RSA-OAEP ${used.join(", ")}; the key's token can undo ${hashes.join(", ") || "none"}`,
    { hint: "export the key again with `p11seal keys export`, or seal with --oaep sha1" },
  );
}

async function hpkeSecret(
  publicKey: PublicKey,
  privateKey: PrivateKey,
  { curve, enc, ciphertext, info, aad }: HpkeWrap,
): Promise<Secret | null> {
  const agree = requireCapability(privateKey, "agree");
  const isCurve = publicKey.type === "ec" ? publicKey.curve === curve : publicKey.type === "x25519";
  if (!isCurve || publicKey.type === "rsa" || publicKey.type === "ed25519") {
    throw new TypeError("the wrap was made for a key of another kind");
  }
  const key = await hpkeOpen(publicKey, agree, enc, ciphertext, info, aad);
  return key === null ? null : new Secret(key);
}
