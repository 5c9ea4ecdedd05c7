/**
 * Key pairs on a token: listed by what is visible without a PIN, and found again by CKA_ID. A pair
 * has up to three objects with the same CKA_ID: public key, certificate, and private key. Any of
 * them may be missing or, before login, hidden. A lookup finds exactly one key or reports what it
 * found instead.
 */
import { equal } from "../../bytes.js";
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import { failedWith } from "../modules/call.js";
import { CKC_X_509, CKK, CKO } from "../modules/constants.js";
import { keyName } from "./halves.js";
import { publicHalfOfCertificate, publicHalfOfKey } from "./public-half.js";
import type { Session } from "../session/session.js";
import type { KeyInfo, KeyUse, TokenInfo } from "../values.js";
import { formatUri, type Pkcs11Uri, parseUri } from "../uri.js";

/**
 * Every key pair that the session can see, each once. A pair is represented by its public key
 * object, else its certificate, else its private key, which is visible after login or where the
 * token hides nothing.
 */
export function listKeys(session: Session, token: TokenInfo): KeyInfo[] {
  const keys: KeyInfo[] = [];
  const isNew = (label: string, id: Uint8Array): boolean =>
    !keys.some((key) => isSamePair(key, label, id));

  unlessHidden(() => {
    for (const object of session.find({ CLASS: CKO.PUBLIC_KEY })) {
      keys.push(describe(session, object, token, "public key"));
    }
  });
  unlessHidden(() => {
    for (const object of session.find({ CLASS: CKO.CERTIFICATE, CERTIFICATE_TYPE: CKC_X_509 })) {
      const id = session.bytes(object, "ID") ?? new Uint8Array();
      // Without an id a certificate cannot be assigned to a key. CA certificates often have none.
      if (id.length > 0 && isNew(session.text(object, "LABEL"), id)) {
        keys.push(describe(session, object, token, "certificate"));
      }
    }
  });
  unlessHidden(() => {
    for (const object of session.find({ CLASS: CKO.PRIVATE_KEY })) {
      const id = session.bytes(object, "ID") ?? new Uint8Array();
      if (isNew(session.text(object, "LABEL"), id)) {
        keys.push(describe(session, object, token, "private key"));
      }
    }
  });
  return keys;
}

/**
 * Before login most tokens leave hidden objects out. Some answer a question about them with
 * CKR_USER_NOT_LOGGED_IN instead, which hides no other objects.
 */
function unlessHidden(look: () => void): void {
  try {
    look();
  } catch (error) {
    if (!failedWith(error, "CKR_USER_NOT_LOGGED_IN")) throw error;
  }
}

/**
 * The private key object of a listed key. The session must be logged in.
 *
 * @throws TokenError `ERR_KEY_NOT_FOUND`, `ERR_KEY_NOT_UNIQUE`; `ERR_KEY_MISMATCH` when the private
 * key belongs to another public key.
 */
export function findPrivateKey(session: Session, key: KeyInfo): Buffer {
  const found = session.find({ CLASS: CKO.PRIVATE_KEY, ...pairAttributes(key) });
  const [object] = found;
  if (object === undefined) {
    throw new TokenError(
      "ERR_KEY_NOT_FOUND",
      `token "${key.token.label}" has no private key for ${keyName(key)}`,
      {
        hint: "only the public half is on this token; the private key is elsewhere",
      },
    );
  }
  if (found.length > 1) {
    throw new TokenError(
      "ERR_KEY_NOT_UNIQUE",
      `${found.length} private keys on token "${key.token.label}" have the id of ${keyName(key)}`,
      { hint: "give the keys different ids with the token's own tool" },
    );
  }
  requireSamePair(session, object, key);
  return object;
}

/** Public key objects of a listed key. */
export function findPublicKeys(session: Session, key: KeyInfo): Buffer[] {
  return session.find({ CLASS: CKO.PUBLIC_KEY, ...pairAttributes(key) });
}

/** Describes the key pair that an object belongs to. `seenAs` is the object's class. */
export function describe(
  session: Session,
  object: Buffer,
  token: TokenInfo,
  seenAs: KeyInfo["seenAs"],
): KeyInfo {
  const label = session.text(object, "LABEL");
  const id = session.bytes(object, "ID") ?? new Uint8Array();
  const half =
    seenAs === "certificate"
      ? publicHalfOfCertificate(session, object)
      : publicHalfOfKey(session, object);
  return {
    token,
    label,
    id,
    ...half,
    uses: seenAs === "certificate" ? ["exchange", "sign"] : usesOf(session, object),
    seenAs,
    uri: keyUri(token, label, id, seenAs),
  };
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

/**
 * A URI that finds the key again, also with other tools. A certificate's label is not the key's.
 */
function keyUri(
  token: TokenInfo,
  label: string,
  id: Uint8Array,
  seenAs: KeyInfo["seenAs"],
): string {
  const uri: Pkcs11Uri = { ...parseUri(token.uri), type: "private" };
  const hasId = id.length > 0;
  const showsLabel = label !== "" && (seenAs !== "certificate" || !hasId);
  const object = showsLabel ? label : undefined;
  return formatUri({ ...uri, ...defined({ object, id: hasId ? id : undefined }) });
}

/** Attributes that the objects of a pair share: the id or, on tokens that give none, the label. */
function pairAttributes(key: KeyInfo): { ID: Uint8Array } | { LABEL: string } {
  return key.id.length > 0 ? { ID: key.id } : { LABEL: key.label };
}

function isSamePair(key: KeyInfo, label: string, id: Uint8Array): boolean {
  if (key.id.length > 0 || id.length > 0) return equal(key.id, id);
  return key.label === label;
}

/** Checks RSA keys, whose private key objects show the modulus. Others show nothing to compare. */
function requireSamePair(session: Session, object: Buffer, key: KeyInfo): void {
  const { publicKey } = key;
  if (publicKey?.type !== "rsa" || session.number(object, "KEY_TYPE") !== CKK.RSA) return;
  const modulus = session.bytes(object, "MODULUS");
  if (modulus === undefined || modulus.length === 0) return;
  const start = modulus.findIndex((byte) => byte !== 0);
  if (equal(modulus.subarray(Math.max(start, 0)), publicKey.modulus)) return;
  throw new TokenError(
    "ERR_KEY_MISMATCH",
    `the public and private keys of ${keyName(key)} on token "${key.token.label}" do not match`,
    { hint: "two keys share an id; give them different ones with the token's own tool" },
  );
}
