/**
 * Ways to use a private key, tried in order. One question separates "this way does not work on this
 * token" from "this ciphertext is bad": does the way work on a ciphertext of our own?
 *
 * Modules answer both with the same return values (docs/tokens.md), and so does a token that was
 * pulled or whose daemon died. So after every failure, whatever the return value, `use` asks two
 * questions: is the token still there, and does the way still work? If both hold, the ciphertext is
 * at fault, and the result is `null`. What is reported about the token never depends on what the
 * sender sent.
 *
 * `useEvenly` asks before the token sees the sender's block, because some paddings can be broken by
 * anyone who learns which blocks are well formed (Bleichenbacher 1998). That way a good block and a
 * bad one take the same number of calls.
 */
import { TokenError } from "../../errors.js";
import type { Using } from "../../keys/key.js";
import { Secret } from "../../secret.js";
import { dependsOnCiphertext, failedWith, origin } from "../modules/call.js";
import type { Token } from "../session/token.js";

/** One way, ready to be tried. */
export interface Way {
  /** As in "C_UnwrapKey CKM_RSA_PKCS_OAEP sha256". */
  readonly name: string;
  /**
   * The function and mechanism, as in "C_UnwrapKey CKM_RSA_PKCS_OAEP", of a way that the token does
   * not list. It is tried on input of our own before anything else, once.
   */
  readonly unlisted?: string;
  /**
   * Takes what the sender sent and returns the secret; `null` when the result has the wrong form.
   */
  readonly use: (input: Uint8Array) => Promise<Uint8Array | null>;
  /** Tries the way on input of our own; true when the right secret comes out. */
  readonly selfTest: () => Promise<boolean>;
  /**
   * As `use`, for a way that includes a try on input of our own in every use. Throws `WayFailed`
   * when that try fails.
   */
  readonly useEvenly?: (input: Uint8Array) => Promise<Uint8Array | null>;
}

/** A way failed on input of our own, which says nothing about the sender's input. */
export class WayFailed extends Error {}

export class Ways {
  readonly #token: Token;
  readonly #what: string;
  readonly #ways: readonly Way[];
  readonly #trace: (line: string) => void;
  readonly #leftOut: string;
  /** Results so far: true for a way that works, false for one that does not. */
  readonly #works = new Map<Way, boolean>();

  /**
   * @param what - what the ways do, for messages, as in "undo RSA-OAEP with sha256"
   * @param leftOut - why there are no other ways
   */
  constructor(
    token: Token,
    what: string,
    ways: readonly Way[],
    trace: (line: string) => void,
    leftOut = "",
  ) {
    this.#token = token;
    this.#what = what;
    this.#ways = ways;
    this.#trace = trace;
    this.#leftOut = leftOut;
  }

  /**
   * The secret in `input`; `null` when `input` is at fault.
   *
   * @throws TokenError when no way works on this token (`ERR_MECHANISM`), or the token failed.
   */
  async use(input: Uint8Array, using?: Using): Promise<Secret | null> {
    for (const way of this.#ways) {
      if (this.#works.get(way) === false) continue;
      if (way.unlisted !== undefined && !(await this.#isWorking(way))) continue;
      this.#tell(way, using);
      try {
        const secret = await way.use(input);
        if (secret !== null) {
          this.#works.set(way, true);
          return new Secret(secret);
        }
        if (await this.#isStillWorking(way)) return null;
      } catch (error) {
        if (!dependsOnCiphertext(error)) throw error;
        // Ask whatever the return value: some tokens accept a hash, use another, and call the data
        // bad.
        if (await this.#isStillWorking(way, error)) return null;
        this.#trace(`unwrap: ${way.name} does not work here (${error.ckr ?? error.code})`);
      }
    }
    throw this.#noWay();
  }

  /** As `use`, with the same number of calls for bad input as for good input. */
  async useEvenly(input: Uint8Array, using?: Using): Promise<Secret | null> {
    for (const way of this.#ways) {
      if (this.#works.get(way) === false) continue;
      if (way.unlisted !== undefined && !(await this.#isWorking(way))) continue;
      this.#tell(way, using);
      try {
        if (way.useEvenly === undefined && !(await this.#isWorking(way))) throw new WayFailed();
        return this.#fromTokenStillThere(await resultOf(way, input));
      } catch (error) {
        if (!(error instanceof WayFailed)) throw error;
        await this.#requireToken(undefined);
        this.#works.set(way, false);
        this.#trace(`unwrap: ${way.name} does not work here`);
      }
    }
    throw this.#noWay();
  }

  /** @throws TokenError `ERR_MECHANISM`: there are no ways */
  requireSome(): void {
    if (this.#ways.length === 0) throw this.#noWay();
  }

  #tell(way: Way, using: Using | undefined): void {
    this.#trace(`unwrap: ${way.name} on token "${this.#token.info.label}"`);
    using?.(way.name);
  }

  /**
   * Checks the token with and without a secret alike: a token that is gone answers as it does to
   * bad input.
   */
  #fromTokenStillThere(secret: Uint8Array | null): Secret | null {
    if (this.#token.isPresent()) return secret === null ? null : new Secret(secret);
    secret?.fill(0);
    throw this.#gone(undefined);
  }

  /** True when a way works on input of our own. */
  async isPossible(): Promise<boolean> {
    for (const way of this.#ways) if (await this.#isWorking(way)) return true;
    return false;
  }

  async #isWorking(way: Way): Promise<boolean> {
    const settled = this.#works.get(way);
    if (settled !== undefined) return settled;
    const { unlisted } = way;
    const works =
      unlisted === undefined ? await this.#tried(way) : await this.#triedUnlisted(way, unlisted);
    this.#works.set(way, works);
    return works;
  }

  /** What the token once said it does not have, it is not asked for again, with any key. */
  async #triedUnlisted(way: Way, unlisted: string): Promise<boolean> {
    if (this.#token.refused.has(unlisted)) return false;
    this.#trace(
      `unwrap: trying ${way.name}, which token "${this.#token.info.label}" does not list`,
    );
    return this.#tried(way, (error) => {
      if (failedWith(error, "CKR_MECHANISM_INVALID", "CKR_FUNCTION_NOT_SUPPORTED")) {
        this.#token.refused.add(unlisted);
      }
    });
  }

  /**
   * Tries a way again after a failure. Throws TokenError when the token is gone, or a way that had
   * worked no longer does.
   */
  async #isStillWorking(way: Way, failure?: TokenError): Promise<boolean> {
    await this.#requireToken(failure);
    const didWork = this.#works.get(way) === true;
    const works = await this.#tried(way);
    if (!works && didWork) {
      const { label } = this.#token.info;
      throw new TokenError("ERR_PKCS11", `token "${label}" stopped doing ${way.name}`, {
        hint: "the token, its reader or its daemon failed; see what is found with: p11seal tokens",
        ...origin(failure),
      });
    }
    this.#works.set(way, works);
    return works;
  }

  async #tried(way: Way, failed?: (error: TokenError) => void): Promise<boolean> {
    try {
      return await way.selfTest();
    } catch (error) {
      if (!dependsOnCiphertext(error)) throw error;
      await this.#requireToken(error);
      failed?.(error);
      return false;
    }
  }

  /** A token that is gone answers with the same return values as one that got bad input. */
  async #requireToken(error: TokenError | undefined): Promise<void> {
    if (!(await this.#token.isStillPresent())) throw this.#gone(error);
  }

  #gone(error: TokenError | undefined): TokenError {
    return new TokenError("ERR_TOKEN_REMOVED", `token "${this.#token.info.label}" is gone`, {
      hint: "insert the token and try again",
      ...origin(error),
    });
  }

  #noWay(): TokenError {
    return new TokenError(
      "ERR_MECHANISM",
      `this key cannot ${this.#what} on token "${this.#token.info.label}"`,
      { hint: this.#whatWasTried() },
    );
  }

  #whatWasTried(): string {
    const names = (ways: readonly Way[]): string => ways.map(({ name }) => name).join(", ");
    const listed = names(this.#ways.filter(({ unlisted }) => unlisted === undefined));
    const unlisted = names(this.#ways.filter((way) => way.unlisted !== undefined));
    const lists = listed === "" ? "the token lists no way to do it" : `tried ${listed}`;
    if (unlisted !== "")
      return `${lists}; tried what it does not list, without success: ${unlisted}`;
    if (listed !== "") return `tried, without success: ${listed}`;
    return this.#leftOut || "neither the key's attributes nor the token's mechanisms allow it";
  }
}

/** The result for the sender's input; `null` for every failure that the input may have caused. */
async function resultOf(way: Way, input: Uint8Array): Promise<Uint8Array | null> {
  if (way.useEvenly !== undefined) return way.useEvenly(input);
  try {
    return await way.use(input);
  } catch (error) {
    if (dependsOnCiphertext(error)) return null;
    throw error;
  }
}
