/**
 * Which objects on a token belong to one key pair: a private key, a public key and certificates, of
 * which any may be missing or, before login, hidden. They have one CKA_ID or, on tokens that give
 * none, one label (PKCS#11 v2.40 §4.9), and don't contradict one another in what they show of the
 * key. An object whose names no other has is paired by the key that it shows.
 */
import { toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import type { SinglePublicKey } from "../../keys/key.js";
import { failedWith } from "../modules/call.js";
import { CKC_X_509, CKK, CKO } from "../modules/constants.js";
import type { Session } from "../session/session.js";
import type { KeyUse, ObjectClass, ObjectName } from "../values.js";
import { publicHalfOfCertificate, publicHalfOfKey, type PublicHalf } from "./public-half.js";

/** One object of a key pair, as the session sees it. */
export interface KeyObject extends ObjectName {
  readonly handle: Buffer;
  readonly half: PublicHalf;
  /** Of a certificate whose key is understood: the whole, DER. */
  readonly certificate?: Uint8Array;
  /** What the key itself is, as far as the object shows it: equal for objects of one pair. */
  readonly content: string | undefined;
  /** The uses that the object allows. A certificate allows any. Read when asked for. */
  uses(): readonly KeyUse[];
}

/** The objects of one pair: public keys first, then certificates, then private keys. */
export type Pair = readonly [KeyObject, ...KeyObject[]];

/** Every key pair that the session can see. */
export function visiblePairs(session: Session): Pair[] {
  const pairs: Growing[] = [];
  const byName = new Map<string, Growing[]>();
  for (const objectClass of CLASSES) {
    for (const object of objectsOf(session, objectClass)) {
      const name = nameOf(object);
      const named = byName.get(name) ?? [];
      const pair = pairFor(object, named);
      if (pair !== undefined) {
        pair.push(object);
        continue;
      }
      const started: Growing = [object];
      pairs.push(started);
      byName.set(name, [...named, started]);
    }
  }
  return joinedByKey(pairs);
}

/** How many of the pairs have an object with the id, by ids in hexadecimal. */
export function countById(pairs: readonly Pair[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const pair of pairs) {
    for (const id of new Set(pair.map((one) => toHex(one.id)))) {
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
  }
  return counts;
}

type Growing = [KeyObject, ...KeyObject[]];

/** The objects of a class that the session can see. `named`: only those with this id or label. */
export function objectsOf(session: Session, objectClass: ObjectClass, named?: Naming): KeyObject[] {
  return unlessHidden(() =>
    handlesOf(session, objectClass, named).map((handle) =>
      readObject(session, handle, objectClass),
    ),
  );
}

/** As `objectsOf`, without reading them. */
export function handlesOf(session: Session, objectClass: ObjectClass, named?: Naming): Buffer[] {
  const kind = objectClass === "certificate" ? { CERTIFICATE_TYPE: CKC_X_509 } : {};
  return unlessHidden(() => session.find({ CLASS: CKO_OF[objectClass], ...kind, ...named }));
}

/**
 * Before login most tokens leave hidden objects out. Some answer a question about them with
 * CKR_USER_NOT_LOGGED_IN instead, which hides no other objects.
 */
function unlessHidden<T>(look: () => T[]): T[] {
  try {
    return look();
  } catch (error) {
    if (failedWith(error, "CKR_USER_NOT_LOGGED_IN")) return [];
    throw error;
  }
}

type Naming = { readonly ID: Uint8Array } | { readonly LABEL: string };

/** Reads an object. */
export function readObject(session: Session, handle: Buffer, objectClass: ObjectClass): KeyObject {
  const isCertificate = objectClass === "certificate";
  const value = isCertificate ? session.bytes(handle, "VALUE") : undefined;
  const half = isCertificate ? publicHalfOfCertificate(value) : publicHalfOfKey(session, handle);
  return {
    ...{ handle, class: objectClass, half },
    ...defined({ certificate: half.publicKey && value }),
    label: session.text(handle, "LABEL"),
    id: session.bytes(handle, "ID") ?? new Uint8Array(),
    content: contentOf(half.publicKey) ?? (isCertificate ? undefined : modulusOf(session, handle)),
    uses: () => (isCertificate ? ["exchange", "sign"] : usesOf(session, handle)),
  };
}

/** What a public key is, for comparisons. RSA goes by its modulus: some objects show no more. */
export function contentOf(publicKey: SinglePublicKey | undefined): string | undefined {
  if (publicKey === undefined) return undefined;
  return publicKey.type === "rsa" ? toHex(publicKey.modulus) : toHex(publicKey.fingerprint);
}

/** True if one of the objects may be the other's half as far as their kinds tell. */
export function mayPair(
  a: Pick<KeyObject, "content" | "half">,
  b: Pick<KeyObject, "content" | "half">,
): boolean {
  if (a.content !== undefined && b.content !== undefined) return a.content === b.content;
  const [one, other] = [a.half.kind, b.half.kind];
  return one === other || one === UNKNOWN || other === UNKNOWN;
}

/** The same for objects with one id or, if they have none, with one label. */
function nameOf({ id, label }: KeyObject): string {
  return id.length > 0 ? `id ${toHex(id)}` : `label ${label}`;
}

function pairFor(object: KeyObject, named: readonly Growing[]): Growing | undefined {
  const fitting = named.filter((pair) => pair.every((one) => mayPair(one, object)));
  // Two pairs with one id: the label tells, if anything does.
  return fitting.find((pair) => pair.some(({ label }) => label === object.label)) ?? fitting[0];
}

/**
 * Certificates and private keys whose names no other object has are joined to the pair of the same
 * key: if they were stored one by one, their ids may differ.
 */
function joinedByKey(pairs: readonly Growing[]): Pair[] {
  const joined: Growing[] = [];
  const lone: KeyObject[] = [];
  for (const pair of pairs) {
    const [first, ...more] = pair;
    if (more.length > 0 || first.class === "public key") joined.push(pair);
    else lone.push(first);
  }
  for (const object of lone) {
    const { class: objectClass, content, id } = object;
    // A token may hold one key twice, for two uses.
    const hasRoom = (pair: Pair): boolean =>
      objectClass === "certificate" || pair.every((one) => one.class !== objectClass);
    const pair = joined.find(
      (one) => content !== undefined && one.some((o) => o.content === content) && hasRoom(one),
    );
    if (pair !== undefined) pair.push(object);
    // Without an id a certificate can't be a key's by name. CA certificates often have none.
    else if (objectClass !== "certificate" || id.length > 0) joined.push([object]);
  }
  return joined;
}

function modulusOf(session: Session, handle: Buffer): string | undefined {
  if (session.number(handle, "KEY_TYPE") !== CKK.RSA) return undefined;
  const modulus = session.bytes(handle, "MODULUS");
  const start = modulus?.findIndex((byte) => byte !== 0) ?? -1;
  return modulus === undefined || start < 0 ? undefined : toHex(modulus.subarray(start));
}

/**
 * The uses that an object allows. Public and private objects have different operations of a use.
 */
function usesOf(session: Session, object: Buffer): KeyUse[] {
  const any = (
    ...names: ("ENCRYPT" | "WRAP" | "DERIVE" | "DECRYPT" | "UNWRAP" | "SIGN" | "VERIFY")[]
  ) => names.some((one) => session.flag(object, one) === true);
  const uses: KeyUse[] = [];
  if (any("ENCRYPT", "WRAP", "DERIVE", "DECRYPT", "UNWRAP")) uses.push("exchange");
  if (any("VERIFY", "SIGN")) uses.push("sign");
  return uses;
}

const CLASSES = ["public key", "certificate", "private key"] as const;

const CKO_OF: Readonly<Record<ObjectClass, number>> = {
  "public key": CKO.PUBLIC_KEY,
  certificate: CKO.CERTIFICATE,
  "private key": CKO.PRIVATE_KEY,
};

/** A kind that says nothing. */
const UNKNOWN = "unknown";
