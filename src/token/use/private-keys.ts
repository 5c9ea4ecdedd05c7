/**
 * From a key that was listed to its private object: logged in, found again, and wrapped in what can use
 * it. A key that nothing could be done with is refused before a PIN is asked for, where that shows.
 */
import { TokenError } from "../../errors.js";
import type { OaepHash } from "../../keys/key.js";
import { TokenCapiKey } from "./capi-key.js";
import { TokenEcKey } from "./ec.js";
import { exchangeHalf, keyName, rsaHalf, signingHalf } from "../objects/halves.js";
import { findPrivateKey } from "../objects/key-list.js";
import { type Plan, planFor, planLines, reasonsAgainst, stepsToTry } from "./plan.js";
import { TokenRsaKey } from "./rsa.js";
import type { Session } from "../session/session.js";
import { TokenCapiSigningKey, TokenSigningKey } from "./sign.js";
import { situationOf } from "./situation.js";
import type { Token } from "../session/token.js";
import type { KeyInfo, TokenInfo } from "../values.js";

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

  /** @throws TokenError `ERR_MECHANISM`: there is no way to open anything with it; and of login */
  async exchange(key: KeyInfo): Promise<TokenRsaKey | TokenEcKey> {
    const token = await this.#reach.again(key.token);
    await token.session("read", (session) => {
      const seen = situationOf(token, session, key);
      // What a public half suggests is no reason to refuse.
      const known = seen.seen === "private key" ? seen : { ...seen, attributes: {} };
      requireWay(planFor("open", known), key);
    });
    return this.#withObject(key, (session, _, object) => {
      requireWay(planFor("open", situationOf(token, session, key, object)), key);
      return this.exchangeKey(session, token, object, key);
    });
  }

  signing(key: KeyInfo): Promise<TokenSigningKey> {
    const publicKey = signingHalf(key);
    return this.#withObject(key, (session, token, object) => {
      const plan = planFor("sign", situationOf(token, session, key, object));
      return new TokenSigningKey({ token, object, publicKey, trace: this.#reach.trace }, plan);
    });
  }

  /** The private half of a CryptoAPI exchange key. */
  capi(key: KeyInfo): Promise<TokenCapiKey> {
    const publicKey = rsaHalf(key);
    return this.#withObject(key, (session, token, object) => {
      const uses = {
        unwrap: session.flag(object, "UNWRAP") !== false,
        decrypt: session.flag(object, "DECRYPT") !== false,
      };
      return new TokenCapiKey(token, object, publicKey, uses, this.#reach.trace);
    });
  }

  /** The private half of a CryptoAPI signature key. */
  capiSigning(key: KeyInfo): Promise<TokenCapiSigningKey> {
    const publicKey = rsaHalf(key);
    const { trace } = this.#reach;
    return this.#withObject(
      key,
      (_, token, object) => new TokenCapiSigningKey({ token, object, publicKey, trace }),
    );
  }

  /** A private object that was found already, as what can use it. */
  exchangeKey(
    session: Session,
    token: Token,
    object: Buffer,
    key: KeyInfo,
  ): TokenRsaKey | TokenEcKey {
    const { trace } = this.#reach;
    const publicKey = exchangeHalf(key);
    const plan = planFor("open", situationOf(token, session, key, object));
    for (const line of planLines(plan)) trace(`plan: ${line}`);
    return publicKey.type === "rsa"
      ? new TokenRsaKey({ token, object, publicKey, trace }, plan)
      : new TokenEcKey({ token, object, publicKey, trace }, plan);
  }

  /** Uses a new exchange key once, against the host. For RSA, the hashes that worked. */
  async prove(
    session: Session,
    token: Token,
    object: Buffer,
    key: KeyInfo,
  ): Promise<OaepHash[] | undefined> {
    const privateKey = this.exchangeKey(session, token, object, key);
    const hashes = privateKey instanceof TokenRsaKey ? await privateKey.provenHashes() : undefined;
    const isProven =
      privateKey instanceof TokenEcKey ? await privateKey.isProven() : hashes?.length !== 0;
    if (isProven) return hashes;
    throw new TokenError(
      "ERR_KEY_UNUSABLE",
      `token "${token.info.label}" made a key that it cannot use; it was destroyed again`,
      { hint: "another type of key may work on this token" },
    );
  }

  /** Logs in and finds the private object. */
  async #withObject<T>(
    key: KeyInfo,
    use: (session: Session, token: Token, object: Buffer) => T,
  ): Promise<T> {
    const token = await this.#reach.again(key.token);
    await this.#reach.logIn(token);
    return token.session("read", (session) => use(session, token, findPrivateKey(session, key)));
  }
}

/** Refuses a key that nothing can be opened with. */
function requireWay(plan: Plan, key: KeyInfo): void {
  if (stepsToTry(plan).length > 0) return;
  throw new TokenError(
    "ERR_MECHANISM",
    `${keyName(key)} on token "${key.token.label}" cannot open messages: ${reasonsAgainst(plan)}`,
    { hint: "it may have been made for signing; `p11seal keys list` shows the others" },
  );
}
