/**
 * How the files of a run use keys: none any more once the token has failed for good. A file starts
 * again if the token was pulled and is back. A key that somebody may be guessing at is not used any
 * more.
 *
 * Two files at a time use keys, so that the token need not wait while a header is verified and
 * written. Only one does until the first has shown that the key works and its PIN is right, and
 * again as soon as anything has failed, to the end of the run: then no key is used twice for one
 * fault, nor once more than somebody who guesses may try. What failed at the token beside another
 * use is done again alone, as the other one may have been the reason.
 */
import { AuthenticationError, NoMatchError, TokenError, UsageError } from "../../../errors.js";
import { around } from "../../../keys/around.js";
import { Turnstile } from "../../../turnstile.js";
import type { Context } from "../../command.js";
import type { Identities } from "../../find/identities.js";
import type { ExchangeIdentity } from "../../find/identity-source.js";
import type { Tokens } from "../../find/tokens.js";
import { endsRun, mayPass } from "../file-tasks.js";
import { Guesses } from "../open/guesses.js";

/** Which key a file's header was opened with. */
export interface Used {
  identity?: Pick<ExchangeIdentity, "name">;
}

/** Not an error: the run ended before this file's turn. */
export class Left extends Error {}

/** Not an error: the token was pulled and is back; or the file was not alone, without a message. */
class OnceMore extends Error {}

/** How many files use keys at a time. */
const SIDE_BY_SIDE = 2;

export class KeyTurns {
  readonly #identities: Identities;
  readonly #tokens: Tokens;
  readonly #context: Context;
  readonly #turnstile = new Turnstile();
  readonly #guesses = new Guesses();
  #isOver = false;
  #isAllWell = true;
  /** Failures of the token in a row that might have passed. */
  #faults = 0;

  constructor(identities: Identities, tokens: Tokens, context: Context) {
    this.#identities = identities;
    this.#tokens = tokens;
    this.#context = context;
  }

  /** No key is used any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  end(): void {
    this.#isOver = true;
  }

  /** Once more from the beginning, if the token was pulled meanwhile and is back. */
  async patiently<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof OnceMore)) throw error;
        if (error.message !== "") this.#context.report.note(error.message);
      }
    }
  }

  /** @throws `Left`; within `patiently`, what makes it begin again; whatever `use` throws */
  take<T>(use: () => Promise<T>, used: Used = {}): Promise<T> {
    return this.#turnstile.through(async (turn) => {
      if (this.#isOver) throw new Left("the run has to end");
      try {
        const result = await use();
        this.#faults = 0;
        if (this.#isAllWell && used.identity !== undefined) this.#turnstile.admit(SIDE_BY_SIDE);
        return result;
      } catch (error) {
        this.failed(error, used);
        if (error instanceof TokenError) {
          this.#beCareful();
          if (!turn.isAlone) throw new OnceMore();
        }
        if (error instanceof NoMatchError && error.code === "ERR_NO_MATCH") {
          throw await this.#identities.whyNone(error);
        }
        if (await this.#tokens.isBack(error)) throw new OnceMore("the token is back, once more");
        if (mayPass(error)) this.#faults += 1;
        this.#isOver ||= this.#faults === MOST_FAULTS || endsRunOfMany(error);
        throw error;
      }
    });
  }

  /** Notes which key is used, and refuses one that somebody may be guessing at. */
  watched(identity: ExchangeIdentity, used: Used): ExchangeIdentity {
    const before = (): void => {
      this.uses(identity, used);
    };
    return around(identity, { before });
  }

  /** Somebody's key is about to be used: one that was found, or the one that an agent has. */
  uses(identity: Pick<ExchangeIdentity, "name">, used: Used): void {
    this.#guesses.requireFew(identity);
    used.identity = identity;
  }

  /** Counts a header that did not open with the key that it named, once. */
  failed(error: unknown, used: Used): void {
    const { identity } = used;
    if (!(error instanceof AuthenticationError) || identity === undefined) return;
    delete used.identity;
    this.#guesses.failed(identity);
    this.#beCareful();
  }

  /** From now on, one at a time. */
  #beCareful(): void {
    this.#isAllWell = false;
    this.#turnstile.admit(1);
  }
}

/** A module that failed twice in a row most likely fails again. */
const MOST_FAULTS = 2;

/** What is wrong with one file's recipients says nothing of the next file's. */
function endsRunOfMany(error: unknown): boolean {
  return endsRun(error) && !(error instanceof UsageError);
}
