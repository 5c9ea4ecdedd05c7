/**
 * Key pairs on a token: listed as the session sees them, and their halves found again. A lookup
 * finds exactly one object or reports what it found instead.
 */
import { equal, toHex } from "../../bytes.js";
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import { keyName } from "./halves.js";
import {
  contentOf,
  countById,
  handlesOf,
  type KeyObject,
  mayPair,
  objectsOf,
  type Pair,
  visiblePairs,
} from "./pairs.js";
import type { Session } from "../session/session.js";
import type { KeyInfo, TokenInfo } from "../values.js";
import { formatUri, parseUri } from "../uri.js";

/**
 * Every key pair that the session can see, each once. Private keys are visible after login, or
 * where the token hides nothing.
 */
export function listKeys(session: Session, token: TokenInfo): KeyInfo[] {
  const pairs = visiblePairs(session);
  const idCounts = countById(pairs);
  return pairs.map((pair) => describe(pair, token, idCounts));
}

/**
 * Describes a key pair. Its public key stands for it, else its certificate, else its private key.
 *
 * @param idCounts - of all the token's pairs, from which its URI has to tell it
 */
export function describe(
  pair: Pair,
  token: TokenInfo,
  idCounts: ReturnType<typeof countById>,
): KeyInfo {
  const [first] = pair;
  const half = pair.find(({ half: { publicKey } }) => publicKey !== undefined)?.half;
  return {
    token,
    label: first.label,
    id: first.id,
    ...(half ?? first.half),
    uses: first.uses(),
    seenAs: first.class,
    certificates: pair.flatMap(({ certificate }) => certificate ?? []),
    objects: pair.map(({ class: objectClass, label, id }) => ({ class: objectClass, label, id })),
    uri: keyUri(pair, token, idCounts),
  };
}

/**
 * A URI that finds the pair again, also with other tools. `type=private` says that the names are
 * those of the private key. On many cards its label is another than the public key's, so a hidden
 * one is named by the id that they share.
 */
function keyUri(pair: Pair, token: TokenInfo, idCounts: ReturnType<typeof countById>): string {
  const [first] = pair;
  const privateKey = pair.find((one) => one.class === "private key");
  const { label, id } = privateKey ?? first;
  const isOnlyId = id.length > 0 && idCounts.get(toHex(id)) === 1;
  const showsLabel = label !== "" && (privateKey !== undefined || !isOnlyId);
  const isPrivate = privateKey !== undefined || !showsLabel;
  return formatUri({
    ...parseUri(token.uri),
    ...defined({
      object: showsLabel ? label : undefined,
      id: id.length > 0 ? id : undefined,
      type: isPrivate ? ("private" as const) : undefined,
    }),
  });
}

/**
 * The private key object of a listed key. The session must be logged in.
 *
 * @throws TokenError `ERR_KEY_NOT_FOUND`, `ERR_KEY_NOT_UNIQUE`; `ERR_KEY_MISMATCH` when the private
 * key of that name belongs to another public key.
 */
export function findPrivateKey(session: Session, key: KeyInfo): Buffer {
  const named = objectsOf(session, "private key", names(key));
  const [only, ...more] = named;
  if (only !== undefined && more.length === 0 && fits(only, key)) return only.handle;
  // Before login there are most often none: then nothing has to be read.
  const areNone = named.length === 0 && handlesOf(session, "private key").length === 0;
  return chosen(key, named, areNone ? [] : visiblePairs(session)).handle;
}

/** Private keys that may be the other half of a key, though nothing that they show says so. */
export function possiblePrivateKeys(session: Session, key: KeyInfo): Buffer[] {
  return visiblePairs(session)
    .filter(([first]) => first.class === "private key" && first.content === undefined)
    .flatMap((pair) => pair.filter((one) => fits(one, key)).map(({ handle }) => handle));
}

/**
 * True if another key has the id of a listed one, or on tokens that give none its label, and no
 * private key shows whose it is. Most RSA keys do, by their modulus; EC keys don't.
 */
export function sharesNames(session: Session, key: KeyInfo): boolean {
  const own = contentOf(key.publicKey);
  const held = objectsOf(session, "private key", names(key)).filter((one) => fits(one, key));
  const certain = held.filter(({ content }) => content !== undefined && content === own);
  if (certain.length === 1) return false;
  const others = [
    ...objectsOf(session, "public key", names(key)),
    ...objectsOf(session, "certificate", names(key)),
  ].filter(({ content, half }) => content !== own && (own === undefined || half.kind === key.kind));
  return held.length > 1 || others.length > 0;
}

/** Public key objects of a listed key. */
export function findPublicKeys(session: Session, key: KeyInfo): Buffer[] {
  const named = objectsOf(session, "public key", names(key)).filter((one) => fits(one, key));
  const content = contentOf(key.publicKey);
  const found =
    named.length > 0 || content === undefined
      ? named
      : objectsOf(session, "public key").filter((one) => one.content === content);
  return found.map(({ handle }) => handle);
}

// ── Details ──

function chosen(key: KeyInfo, named: readonly KeyObject[], pairs: readonly Pair[]): KeyObject {
  const joined = (pairs.find((pair) => isOf(pair, key)) ?? []).filter(isPrivate);
  const fitting = named.filter((one) => fits(one, key));
  const labels = new Set(key.objects.map(({ label }) => label));
  const labelled = fitting.filter(({ label }) => labels.has(label));
  const [only, ...more] = labelled.length === 1 ? labelled : fitting.length > 0 ? fitting : joined;
  const on = `token "${key.token.label}"`;
  if (only !== undefined && more.length === 0) return only;
  if (more.length > 0) {
    const message = `${fitting.length} private keys on ${on} have the id of ${keyName(key)}`;
    throw new TokenError("ERR_KEY_NOT_UNIQUE", message, {
      hint: "give the keys different ids with the token's own tool",
    });
  }
  if (named.length > 0) {
    const message = `the public and private keys of ${keyName(key)} on ${on} do not match`;
    throw new TokenError("ERR_KEY_MISMATCH", message, {
      hint: "two keys share an id; give them different ones with the token's own tool",
    });
  }
  throw new TokenError("ERR_KEY_NOT_FOUND", `${on} has no private key for ${keyName(key)}`, {
    hint: !pairs.some((pair) => pair.some(isPrivate))
      ? "only the public half is on this token; the private key is elsewhere"
      : "no private key on this token has its id, nor shows that it is its other half",
  });
}

/** True for the pair that was listed as `key`. */
function isOf(pair: Pair, key: KeyInfo): boolean {
  return pair.some(
    (one) =>
      one.class === key.seenAs &&
      one.label === key.label &&
      equal(one.id, key.id) &&
      fits(one, key),
  );
}

function isPrivate(object: KeyObject): boolean {
  return object.class === "private key";
}

function fits(object: KeyObject, { publicKey, kind }: KeyInfo): boolean {
  return mayPair(object, { content: contentOf(publicKey), half: { kind } });
}

/** What the objects of a pair share by name: the id or, on tokens that give none, the label. */
function names(key: KeyInfo): { ID: Uint8Array } | { LABEL: string } {
  return key.id.length > 0 ? { ID: key.id } : { LABEL: key.label };
}
