/**
 * Reads what a plan needs from the token: the private key's attributes if it is visible, otherwise
 * what its public half suggests, and the flags of the relevant mechanisms.
 */
import { TokenError } from "../../errors.js";
import { failedWith } from "../modules/call.js";
import { CKM } from "../modules/constants.js";
import { findPrivateKey, findPublicKeys, sharesNames } from "../objects/key-list.js";
import { PLAN_MECHANISMS, type PlanAttribute, type PlanUse, type Situation } from "./plan.js";
import { makerOf, quirksOf } from "./quirks.js";
import type { Session } from "../session/session.js";
import type { AttributeName } from "../modules/template.js";
import type { Token } from "../session/token.js";
import type { KeyInfo } from "../values.js";

/** The situation of a key as this session sees it. `object` is its private key, if known. */
export function situationOf(
  token: Token,
  session: Session,
  key: KeyInfo,
  object = visiblePrivateKey(session, key),
): Situation {
  const type = key.publicKey?.type ?? "rsa";
  const half = object === undefined ? publicHalf(session, key) : undefined;
  return {
    key: key.uri,
    type,
    mechanisms: mechanismFlags(token),
    attributes:
      object === undefined
        ? half === undefined
          ? {}
          : suggestedBy(session, half, type)
        : told(session, object, PRIVATE_ATTRIBUTES),
    seen: object !== undefined ? "private key" : half !== undefined ? "public key" : "nothing",
    quirks: quirksOf(makerOf(token.module, token.details)),
  };
}

/** As `situationOf`, for a plan that is only shown: it tells of another key with the same names. */
export function shownSituation(token: Token, session: Session, key: KeyInfo): Situation {
  return { ...situationOf(token, session, key), sharesNames: sharesNames(session, key) };
}

/** True for a key that can only sign, by its kind or by its attributes. */
export function isForSigning({ publicKey, uses }: KeyInfo): boolean {
  return publicKey?.type === "ed25519" || (uses.includes("sign") && !uses.includes("exchange"));
}

/** The private key, if it is visible now and there is exactly one. */
export function visiblePrivateKey(session: Session, key: KeyInfo): Buffer | undefined {
  try {
    return findPrivateKey(session, key);
  } catch (error) {
    const isNotVisible =
      error instanceof TokenError &&
      (error.ckr === undefined || failedWith(error, "CKR_USER_NOT_LOGGED_IN"));
    if (isNotVisible) return undefined;
    throw error;
  }
}

function mechanismFlags(token: Token): Situation["mechanisms"] {
  return Object.fromEntries(
    PLAN_MECHANISMS.flatMap((name) => {
      const row = token.mechanism(CKM[name]);
      return row === undefined ? [] : [[name, row.flags]];
    }),
  );
}

function publicHalf(session: Session, key: KeyInfo): Buffer | undefined {
  return key.seenAs === "public key" ? findPublicKeys(session, key)[0] : undefined;
}

const PRIVATE_ATTRIBUTES = {
  UNWRAP: "UNWRAP",
  DECRYPT: "DECRYPT",
  DERIVE: "DERIVE",
  SIGN: "SIGN",
  ALWAYS_AUTHENTICATE: "ALWAYS_AUTHENTICATE",
} as const satisfies Record<PlanAttribute, AttributeName>;

const PUBLIC_ATTRIBUTES = {
  UNWRAP: "WRAP",
  DECRYPT: "ENCRYPT",
  DERIVE: "DERIVE",
  SIGN: "VERIFY",
} as const satisfies Record<PlanUse, AttributeName>;

/**
 * The purposes that the public half suggests. An RSA public key that names any purpose is believed.
 * For curves a missing CKA_DERIVE means nothing: few tools set it on public keys, where it has no
 * effect.
 */
function suggestedBy(
  session: Session,
  half: Buffer,
  type: Situation["type"],
): Situation["attributes"] {
  const said = told(session, half, PUBLIC_ATTRIBUTES);
  const { DERIVE, ...others } = said;
  const namesPurpose = Object.values(others).includes(true);
  return {
    ...(type !== "rsa" || namesPurpose ? others : {}),
    ...(DERIVE === true ? { DERIVE } : {}),
  };
}

function told<Name extends string>(
  session: Session,
  object: Buffer,
  names: Readonly<Record<Name, AttributeName>>,
): Partial<Record<Name, boolean>> {
  const pairs = (Object.entries(names) as [Name, AttributeName][]).map(
    ([name, attribute]) => [name, session.flag(object, attribute)] as const,
  );
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined)) as Partial<
    Record<Name, boolean>
  >;
}
