/** Whether a new key is found again: by its URI, in later runs, with a public half to seal to. */
import { equal } from "../../bytes.js";
import { TokenError } from "../../errors.js";
import type { NewPair } from "./generate.js";
import { findPrivateKey, listKeys } from "./key-list.js";
import type { Session } from "../session/session.js";
import type { KeyInfo } from "../values.js";

/** @throws TokenError `ERR_KEY_UNUSABLE`; the caller destroys the pair */
export function requireFindable(session: Session, { key, ...pair }: NewPair): void {
  // An object that is not the token's own goes with the session.
  const isLasting = [pair.publicObject, pair.privateObject].every(
    (object) => session.flag(object, "TOKEN") !== false,
  );
  if (isLasting && isFindable(session, key)) return;
  throw new TokenError(
    "ERR_KEY_UNUSABLE",
    `token "${key.token.label}" made a key that could not be found again; it was destroyed`,
    { hint: "the token changes labels or ids, or shows no public half; make it with its own tool" },
  );
}

function isFindable(session: Session, key: KeyInfo): boolean {
  const found = listKeys(session, key.token).filter(({ uri }) => uri === key.uri);
  const [publicKey, again] = [key.publicKey, found[0]?.publicKey];
  if (found.length !== 1 || publicKey === undefined || again === undefined) return false;
  if (!equal(again.fingerprint, publicKey.fingerprint)) return false;
  try {
    findPrivateKey(session, key);
    return true;
  } catch (error) {
    if (error instanceof TokenError && error.ckr === undefined) return false;
    throw error;
  }
}
