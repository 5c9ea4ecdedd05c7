/**
 * Turns a listed key into a usable private key: logs in, finds the private object, and offers what
 * it can do. A key that cannot serve the purpose is refused, before a PIN is asked for if that can
 * be seen without one.
 */
import { randomBytes } from "node:crypto";
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import { certificateRequest, type RequestedNames } from "../../keys/certificate-request.js";
import type { OaepHash, PrivateKey, PublicKey, SinglePublicKey } from "../../keys/key.js";
import { type Purpose, type PurposeKeys } from "../../keys/purpose.js";
import { verifySignature } from "../../keys/signing.js";
import { keyName, publicHalf, suitedHalf } from "../objects/halves.js";
import { findPrivateKey, possiblePrivateKeys } from "../objects/key-list.js";
import { kindOf, usualRsaHalf } from "../objects/public-half.js";
import type { Session } from "../session/session.js";
import type { Token } from "../session/token.js";
import type { KeyInfo, KeyUse, TokenInfo } from "../values.js";
import { TokenEcKey } from "./ec.js";
import type { KeyObjectOnToken } from "./key-object.js";
import {
  planFor,
  planLines,
  type PlanOperation,
  type PlanStep,
  reasonsAgainst,
  type Situation,
  stepsToTry,
} from "./plan.js";
import { TokenRsaKey } from "./rsa.js";
import { messageSigner, pkcs1Signer } from "./token-signer.js";
import { situationOf } from "./situation.js";

/** How tokens are reached. */
export interface Reach {
  again(info: TokenInfo): Promise<Token>;
  logIn(token: Token): Promise<void>;
  readonly trace: (line: string) => void;
}

export class PrivateKeys {
  readonly #reach: Reach;

  constructor(reach: Reach) {
    this.#reach = reach;
  }

  /**
   * Logs in and finds the private key.
   *
   * @throws TokenError `ERR_MECHANISM` when the key cannot be used for `purpose`; and as login
   *   does.
   */
  async unlock<P extends Purpose>(key: KeyInfo, purpose: P): Promise<PrivateKey<PurposeKeys[P]>> {
    const publicKey = suitedHalf(key, purpose);
    return this.#reachObject(key, purpose, (object, situation) =>
      keyOnToken({ ...object, publicKey }, situation),
    );
  }

  /**
   * The OAEP hashes with which the token decrypts a block of our own, best first; none for other
   * keys.
   */
  async provenHashes(key: KeyInfo): Promise<OaepHash[]> {
    const publicKey = suitedHalf(key, "open");
    return this.#reachObject(key, "open", async (object, situation) =>
      publicKey.type === "rsa"
        ? new TokenRsaKey({ ...object, publicKey }, situation).provenHashes()
        : [],
    );
  }

  /**
   * The public half of a key that shows none: the candidate with which a use of the private key
   * comes out right. Logs in.
   */
  async halfAmong(
    key: KeyInfo,
    candidates: readonly PublicKey[],
  ): Promise<SinglePublicKey | undefined> {
    const token = await this.#reach.again(key.token);
    await this.#reach.logIn(token);
    const { object, usual } = await token.session("read", (session) => {
      const found = findPrivateKey(session, key);
      return { object: found, usual: usualRsaHalf(session, found) };
    });
    const fitting = candidates
      .filter((one) => one.type !== "hybrid")
      .filter((one) => key.kind === "unknown" || kindOf(one) === key.kind);
    for (const publicKey of [...(usual === undefined ? [] : [usual]), ...fitting]) {
      const whole = { ...key, publicKey };
      const situation = await token.session("read", (session) =>
        situationOf(token, session, whole, object),
      );
      const { trace } = this.#reach;
      if (await fits({ token, object, publicKey, trace }, situation)) return publicKey;
    }
    return undefined;
  }

  /**
   * Uses a new exchange key once and compares the result with the host's. Returns the hashes that
   * worked for RSA.
   */
  async prove(
    session: Session,
    token: Token,
    object: Buffer,
    key: KeyInfo,
  ): Promise<OaepHash[] | undefined> {
    const { trace } = this.#reach;
    const publicKey = suitedHalf(key, "open");
    const situation = situationOf(token, session, key, object);
    this.#tellPlan(situation);
    if (publicKey.type === "rsa") {
      const rsa = new TokenRsaKey({ token, object, publicKey, trace }, situation);
      const hashes = await rsa.provenHashes();
      if (hashes.length > 0) return hashes;
    } else {
      const plan = planFor("open", situation);
      const ec = new TokenEcKey({ token, object, publicKey, trace }, plan);
      if (await ec.isProven()) return undefined;
    }
    throw new TokenError(
      "ERR_KEY_UNUSABLE",
      `token "${token.info.label}" made a key that it cannot use; it was destroyed again`,
      { hint: "another type of key may work on this token" },
    );
  }

  /**
   * A request for the certificate of a new key, signed by it.
   *
   * @param uses - what the certificate is to allow
   */
  async request(
    {
      session,
      token,
      object,
      key,
    }: {
      readonly session: Session;
      readonly token: Token;
      readonly object: Buffer;
      readonly key: KeyInfo;
    },
    names: RequestedNames,
    uses: readonly KeyUse[],
  ): Promise<Uint8Array> {
    const { trace } = this.#reach;
    const publicKey = suitedHalf(key, "x509-sign");
    const situation = situationOf(token, session, key, object);
    requireWay(situation, key, "x509-sign");
    const privateKey = keyOnToken({ token, object, publicKey, trace }, situation);
    return certificateRequest(privateKey, names, uses);
  }

  /**
   * Logs in and finds the private object; checks before and after that the key can serve `purpose`.
   */
  async #reachObject<T>(
    key: KeyInfo,
    purpose: Purpose,
    use: (object: KeyObjectOnToken, situation: Situation) => Promise<T> | T,
  ): Promise<T> {
    const token = await this.#reach.again(key.token);
    await token.session("read", (session) => {
      const seen = situationOf(token, session, key);
      // The public half's attributes are only a hint, not a reason to refuse.
      const known = seen.seen === "private key" ? seen : { ...seen, attributes: {} };
      requireWay(known, key, purpose);
    });
    await this.#reach.logIn(token);
    const object = await this.#privateKeyOf(token, key);
    const found = await token.session("read", (session) => ({
      object,
      situation: situationOf(token, session, key, object),
    }));
    requireWay(found.situation, key, purpose);
    if (purpose === "open") this.#tellPlan(found.situation);
    const { trace } = this.#reach;
    return use({ token, object: found.object, publicKey: publicHalf(key), trace }, found.situation);
  }

  /**
   * The private key by what its object shows or, where only a use of it can tell, by that: EC keys
   * show nothing of their public half on most tokens.
   */
  async #privateKeyOf(token: Token, key: KeyInfo): Promise<Buffer> {
    const found = await token.session("read", (session) => {
      try {
        return { object: findPrivateKey(session, key), possible: [], absence: undefined };
      } catch (error) {
        if (!(error instanceof TokenError) || error.code !== "ERR_KEY_NOT_FOUND") throw error;
        return {
          object: undefined,
          possible: possiblePrivateKeys(session, key),
          absence: error,
        };
      }
    });
    if (found.object !== undefined) return found.object;
    const { trace } = this.#reach;
    for (const object of found.possible) {
      const situation = await token.session("read", (session) =>
        situationOf(token, session, key, object),
      );
      const publicKey = publicHalf(key);
      if (await fits({ token, object, publicKey, trace }, situation)) return object;
    }
    throw found.absence;
  }

  #tellPlan(situation: Situation): void {
    for (const line of planLines(planFor("open", situation))) this.#reach.trace(`plan: ${line}`);
  }
}

/** The private key, with every operation that its plans allow. */
function keyOnToken<Public extends SinglePublicKey>(
  key: KeyObjectOnToken<Public>,
  situation: Situation,
): PrivateKey<Public> {
  const { publicKey } = key;
  return { publicKey, ...abilities(key, publicKey, situation) };
}

function abilities(
  { token, object, trace }: KeyObjectOnToken,
  publicKey: SinglePublicKey,
  situation: Situation,
): Omit<PrivateKey, "publicKey"> {
  const on = { token, object, trace };
  const step = (operation: PlanOperation): PlanStep | undefined =>
    stepsToTry(planFor(operation, situation))[0];
  const [signs, signsPkcs1] = [step("sign"), step("sign-pkcs1")];
  switch (publicKey.type) {
    case "rsa": {
      const key = { ...on, publicKey };
      const { oaep, decryptPkcs1 } = new TokenRsaKey(key, situation);
      return defined({
        ...{ oaep, decryptPkcs1 },
        sign: signs && messageSigner(key, signs),
        signPkcs1: signsPkcs1 && pkcs1Signer(key, signsPkcs1),
      });
    }
    case "ec":
    case "x25519": {
      const ec = new TokenEcKey({ ...on, publicKey }, planFor("open", situation));
      const isSigner = publicKey.type === "ec" && !isP521(publicKey);
      return defined({
        agree: step("open") && ec.agree.bind(ec),
        sign: isSigner && signs ? messageSigner({ ...on, publicKey }, signs) : undefined,
      });
    }
    case "ed25519":
      return signs ? { sign: messageSigner({ ...on, publicKey }, signs) } : {};
  }
}

/** No message is signed with it. */
function isP521(publicKey: PublicKey): boolean {
  return publicKey.type === "ec" && publicKey.curve === "P-521";
}

/** Uses the private key on input of our own, for what it is allowed to do. */
async function fits(
  { token, object, publicKey, trace }: KeyObjectOnToken,
  situation: Situation,
): Promise<boolean> {
  const plan = planFor("open", situation);
  if (stepsToTry(plan).length > 0) {
    if (publicKey.type === "rsa") {
      const rsa = new TokenRsaKey({ token, object, publicKey, trace }, situation);
      if ((await rsa.provenHashes()).length > 0) return true;
    } else if (publicKey.type !== "ed25519") {
      const ec = new TokenEcKey({ token, object, publicKey, trace }, plan);
      if (await ec.isProven()) return true;
    }
  }
  const isSigner = publicKey.type !== "x25519" && !isP521(publicKey);
  const [step] = stepsToTry(planFor("sign", situation));
  if (!isSigner || step === undefined) return false;
  const message = randomBytes(32);
  try {
    const signature = await messageSigner({ token, object, publicKey, trace }, step)(message);
    return verifySignature(publicKey, message, signature);
  } catch (error) {
    const isNotThere = error instanceof TokenError && error.code === "ERR_MECHANISM";
    if (isNotThere && step.unlisted === true) return false;
    throw error;
  }
}

/** @throws TokenError `ERR_MECHANISM` when the key cannot serve `purpose` */
function requireWay(situation: Situation, key: KeyInfo, purpose: Purpose): void {
  const { operations, what, hint } = NEEDS[purpose];
  const plans = operations.map((operation) => planFor(operation, situation));
  if (plans.some((plan) => stepsToTry(plan).length > 0)) return;
  const reasons = new Set(plans.map(reasonsAgainst));
  throw new TokenError(
    "ERR_MECHANISM",
    `${keyName(key)} on token "${key.token.label}" cannot ${what}: ${[...reasons].join("; ")}`,
    { hint },
  );
}

/** The operations that serve each purpose; a key needs one of them. */
const NEEDS: Readonly<
  Record<
    Purpose,
    { readonly operations: readonly PlanOperation[]; readonly what: string; readonly hint: string }
  >
> = {
  open: {
    operations: ["open"],
    what: "open messages",
    hint: "it may have been made for signing; `p11seal keys list` shows the others",
  },
  sign: {
    operations: ["sign"],
    what: "sign messages",
    hint: "another type of signing key, or a key made for signing, may work on this token",
  },
  "x509-sign": {
    operations: ["sign-x509"],
    what: "sign",
    hint: "a key made for signing may work on this token",
  },
  "capi-open": {
    operations: ["decrypt-pkcs1", "open"],
    what: "undo PKCS#1 v1.5 or RSA-OAEP",
    hint: "it may have been made for signing; `p11seal keys list` shows the others",
  },
  "capi-sign": {
    operations: ["sign-pkcs1"],
    what: "sign with PKCS#1 v1.5",
    hint: "another type of signing key may work on this token",
  },
};
