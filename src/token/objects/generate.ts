/**
 * Generates key pairs under the key policy: for one purpose, sensitive, not extractable, not
 * modifiable and not copyable. Tokens refuse some of these attributes and ignore others. So
 * templates are tried from the strictest down, and the new key's attributes are read back and
 * reported.
 */
import { randomBytes } from "node:crypto";
import { PolicyError, TokenError, UsageError } from "../../errors.js";
import { failedWith, refusesTemplate } from "../modules/call.js";
import { CKM, MECHANISM_FLAG } from "../modules/constants.js";
import { describe } from "./key-list.js";
import { countById, readObject, visiblePairs } from "./pairs.js";
import { type Handles, keepsSigning, requestingPair, WITHOUT_REQUEST } from "./request-key.js";
import { type Draft, differences, draftsFor, MODULUS_BITS } from "./key-policy.js";
import type { Session } from "../session/session.js";
import { type AttributeName, plainMechanism, template } from "../modules/template.js";
import type { Token } from "../session/token.js";
import type { GenerateRequest, KeyInfo, KeyType } from "../values.js";

/** A new key pair: its handles, and the requests that the token did not honour. */
export interface NewPair {
  readonly key: KeyInfo;
  readonly publicObject: Buffer;
  readonly privateObject: Buffer;
  readonly notHonoured: readonly string[];
  /** An exchange key's, signed while it could; DER. */
  readonly certificateRequest?: Uint8Array;
}

/** Has a new private key sign the request for its certificate. */
export type RequestSigner = (privateKey: Buffer, key: KeyInfo) => Promise<Uint8Array>;

/**
 * Generates a key pair. The session must be read-write and logged in.
 *
 * @param signRequest - for an exchange key that is to have a request for its certificate
 * @throws TokenError `ERR_MECHANISM` when the token can't make or use such a key, `ERR_KEY_EXISTS`;
 * PolicyError `ERR_KEY_POLICY` when the token made a key that could leave it (it's destroyed
 * again).
 */
export async function generatePair(
  token: Token,
  session: Session,
  request: GenerateRequest,
  signRequest?: RequestSigner,
): Promise<NewPair> {
  const mechanism = requireMechanisms(token, request);
  requireNewLabel(session, token, request.label);
  const drafts = draftsFor(token, request, randomBytes(ID_BYTES));
  let refusal: unknown;
  for (const draft of drafts) {
    try {
      if (signRequest === undefined) {
        const pair = await generate(session, mechanism, draft);
        return checked(token, session, pair, draft);
      }
      const { request: certificateRequest, ...pair } = await requestingPair(
        session,
        draft,
        (halves) => generate(session, mechanism, halves),
        ({ publicKey, privateKey }) =>
          signRequest(privateKey, describeNew(session, token, publicKey, privateKey)),
      );
      return { ...checked(token, session, pair, draft), certificateRequest };
    } catch (error) {
      if (!mayTryAgain(error)) throw error;
      refusal ??= error;
    }
  }
  if (signRequest !== undefined && refusal instanceof TokenError) throw keepsSigning(refusal);
  throw refusal instanceof Error ? refusal : new TypeError("no draft of a key was tried");
}

/** @throws UsageError: no key is to be made of this */
export function requireSound(request: GenerateRequest): void {
  const { label, type, use, allowDecrypt, certificateFor } = request;
  if (label === "" || label.length > 255 || /\p{Cc}/u.test(label)) {
    throw new UsageError(
      "ERR_KEY_LABEL",
      "the label is empty, too long, or has control characters",
    );
  }
  if ((type === "x25519" && use === "sign") || (type === "ed25519" && use === "exchange")) {
    const other = use === "sign" ? "ed25519" : "x25519";
    throw new UsageError("ERR_KEY_TYPE_USE", `a key of type ${type} is not for use "${use}"`, {
      hint: `${other} is the type for it on this curve`,
    });
  }
  if (allowDecrypt && (use !== "exchange" || !type.startsWith("rsa:"))) {
    throw new UsageError("ERR_ALLOW_DECRYPT", "only RSA exchange keys can be allowed to decrypt");
  }
  if (certificateFor !== undefined && (type === "x25519" || type === "ec:p521")) {
    const fact = `a key of type ${type} can't sign a request for its certificate`;
    throw new UsageError("ERR_KEY_TYPE_USE", fact, { hint: WITHOUT_REQUEST });
  }
}

/**
 * CKA_ID is given at generation, because the key is not modifiable afterwards; so it can't be a
 * hash of the public key. It is random, and short enough to type in a URI.
 */
const ID_BYTES = 8;

/** The mechanism that generates such keys. Throws unless the token can both make and use them. */
function requireMechanisms(token: Token, { type, use }: GenerateRequest): number {
  const bits = MODULUS_BITS[type];
  const { kind, generators } = FAMILIES[familyOf(type)];
  const lacks = (what: string): TokenError =>
    new TokenError("ERR_MECHANISM", `token "${token.info.label}" ${what}`, {
      hint: "another type of key may work: RSA and the curves need different mechanisms",
    });
  const generator = generators.find((one) => token.can(one, MECHANISM_FLAG.GENERATE_KEY_PAIR));
  if (generator === undefined) throw lacks(`cannot generate ${kind} keys`);
  const { min = 0, max = 0 } = token.mechanism(generator) ?? {};
  if (bits !== undefined && max > 0 && (bits < min || bits > max)) {
    throw lacks(`makes RSA keys of ${min} to ${max} bits, not ${bits}`);
  }
  const canUse =
    use === "sign"
      ? type !== "ed25519" || token.can(CKM.EDDSA, MECHANISM_FLAG.SIGN)
      : bits === undefined
        ? token.can(CKM.ECDH1_DERIVE, MECHANISM_FLAG.DERIVE)
        : token.can(CKM.RSA_PKCS_OAEP, MECHANISM_FLAG.UNWRAP | MECHANISM_FLAG.DECRYPT) ||
          token.can(CKM.RSA_X_509, MECHANISM_FLAG.DECRYPT);
  if (!canUse) throw lacks("has no mechanism that uses such a key");
  return generator;
}

function familyOf(type: KeyType): keyof typeof FAMILIES {
  if (type === "x25519" || type === "ed25519") return type;
  return type.startsWith("rsa:") ? "rsa" : "ec";
}

/**
 * Generators in the order of preference. SoftHSM makes X25519 keys with the Edwards curves' one.
 */
const FAMILIES = {
  rsa: { kind: "RSA", generators: [CKM.RSA_PKCS_KEY_PAIR_GEN] },
  ec: { kind: "EC", generators: [CKM.EC_KEY_PAIR_GEN] },
  x25519: {
    kind: "X25519",
    generators: [CKM.EC_MONTGOMERY_KEY_PAIR_GEN, CKM.EC_EDWARDS_KEY_PAIR_GEN],
  },
  ed25519: { kind: "Ed25519", generators: [CKM.EC_EDWARDS_KEY_PAIR_GEN] },
} as const;

function requireNewLabel(session: Session, token: Token, label: string): void {
  const taken = session.find({ LABEL: label });
  if (taken.length === 0) return;
  throw new TokenError(
    "ERR_KEY_EXISTS",
    `token "${token.info.label}" already has an object labelled "${label}"`,
    { hint: "choose another label, or delete the old key with `p11seal keys delete`" },
  );
}

async function generate(
  session: Session,
  mechanism: number,
  draft: Pick<Draft, "publicHalf" | "privateHalf">,
): Promise<Handles> {
  const how = plainMechanism(mechanism);
  const publicHalf = template(draft.publicHalf);
  const privateHalf = template(draft.privateHalf);
  return session.module.run("C_GenerateKeyPair", [how, publicHalf, privateHalf], (native) =>
    native.C_GenerateKeyPairAsync(session.handle, how, publicHalf, privateHalf),
  );
}

/**
 * Whether another template may succeed. tpm2-pkcs11 answers an impossible purpose with
 * CKR_GENERAL_ERROR, and some tokens know a curve by its name but not by its OID.
 */
function mayTryAgain(error: unknown): boolean {
  return (
    refusesTemplate(error) ||
    failedWith(
      error,
      "CKR_ARGUMENTS_BAD",
      "CKR_GENERAL_ERROR",
      "CKR_FUNCTION_FAILED",
      "CKR_DOMAIN_PARAMS_INVALID",
      "CKR_CURVE_NOT_SUPPORTED",
      // NSS, of a session key whose template names uses that the key can't have.
      "CKR_KEY_TYPE_INCONSISTENT",
    )
  );
}

/** Reads the new key's attributes back; destroys it if it could leave the token. */
function checked(token: Token, session: Session, pair: Handles, draft: Draft): NewPair {
  const { publicKey: publicObject, privateKey: privateObject } = pair;
  const flag = (attribute: AttributeName): boolean | undefined =>
    session.flag(privateObject, attribute);
  if (flag("SENSITIVE") === false || flag("EXTRACTABLE") === true) {
    session.destroy(privateObject);
    session.destroy(publicObject);
    throw new PolicyError(
      "ERR_KEY_POLICY",
      `token "${token.info.label}" makes keys that can leave it; the new key was destroyed`,
      { hint: "the token ignores CKA_SENSITIVE or CKA_EXTRACTABLE, so it cannot protect keys" },
    );
  }
  const isHidden = session.flag(publicObject, "PRIVATE") === true;
  return {
    key: describeNew(session, token, publicObject, privateObject),
    publicObject,
    privateObject,
    notHonoured: [
      ...draft.givenUp,
      ...differences(flag, draft),
      ...(isHidden ? ["the public key shows only after login: name the key by its URI"] : []),
    ],
  };
}

function describeNew(
  session: Session,
  token: Token,
  publicObject: Buffer,
  privateObject: Buffer,
): KeyInfo {
  const pairs = visiblePairs(session);
  const made = pairs.find((one) => one.some(({ handle }) => publicObject.equals(handle))) ?? [
    readObject(session, publicObject, "public key"),
    readObject(session, privateObject, "private key"),
  ];
  return describe(made, token.info, countById([...new Set([...pairs, made])]));
}
