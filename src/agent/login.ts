/**
 * One login to a token: a process of its own, which has the module and the PIN, until a limit is
 * reached or somebody ends it. Ending that process is what forgets the PIN.
 */
import { P11SealError } from "../errors.js";
import type { Identity, PrivateKey } from "../keys/key.js";
import type { Purpose, PurposeKeys } from "../keys/purpose.js";
import type { TokenService } from "../token/service.js";
import type { KeyInfo, PadRequest, PinReference, PinRequest } from "../token/values.js";
import { Allowance, type LimitReached, type Limits } from "./limits.js";

/** Where a PIN is, as `PinReferrer` says; from a source, or by asking a person. */
export interface PinFound {
  readonly pin: string | PinReference;
  /** False: the same PIN comes every time, so it is not tried again once it was refused. */
  readonly fromPerson: boolean;
  /** Called once the login has succeeded, or failed with `error`. */
  readonly settled?: ((error: unknown) => void) | undefined;
}

/** How a login gets its PIN, for one request to the agent. */
export interface WayToPin {
  readonly find: (request: PinRequest) => Promise<PinFound>;
  /** Has a person told to type it on the reader. Returns what `PinFound.settled` is. */
  readonly atPad: (request: PadRequest) => Promise<PinFound["settled"]>;
}

export interface LoginOptions {
  /** Starts the process. `pad`: has a person told to type the PIN on the reader. */
  readonly connect: (
    pin: (request: PinRequest) => Promise<string | PinReference>,
    pad: (request: PadRequest) => Promise<void>,
  ) => TokenService;
  readonly limits: Limits;
  /** A monotonic clock, milliseconds. */
  readonly nowMs: () => number;
}

export class Login {
  readonly #options: LoginOptions;
  readonly #service: TokenService;
  /** Of the requests that use it, in the order in which they came. */
  readonly #ways: WayToPin[] = [];
  #allowance: Allowance | undefined;
  #wasFromPerson = true;
  #asked: { readonly way: WayToPin; readonly settled: PinFound["settled"] } | undefined;
  #isEnded = false;

  constructor(options: LoginOptions) {
    this.#options = options;
    this.#service = options.connect(
      async (request) => {
        const way = this.#way();
        const { pin, fromPerson, settled } = await way.find(request);
        this.#wasFromPerson = fromPerson;
        // A second question in one login would be about its first PIN.
        this.#settle(undefined);
        this.#asked = { way, settled };
        return pin;
      },
      async (request) => {
        // A reader asks one question at a time: the one before has been answered.
        this.#settle(undefined);
        const way = this.#way();
        const settled = await way.atPad(request);
        this.#wasFromPerson = true;
        this.#asked = { way, settled };
      },
    );
  }

  /** What is left of it; undefined: nothing was unlocked yet. */
  get allowance(): Allowance | undefined {
    return this.#allowance;
  }

  /** False: the PIN that was sent came from a source. */
  get wasFromPerson(): boolean {
    return this.#wasFromPerson;
  }

  /** True if the requests that use it now will use it up: no other may begin. */
  get isTaken(): boolean {
    const { uses } = this.#options.limits;
    return uses !== undefined && (this.#allowance?.uses ?? 0) + this.#ways.length >= uses;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** A request begins to use it: it ends no sooner than `release` is called. */
  hold(way: WayToPin): void {
    this.#ways.push(way);
  }

  /**
   * A request has ended. `used`: the private key was asked for something. `error`: what the request
   * ended with, if it did.
   */
  release(way: WayToPin, used: boolean, error?: unknown): void {
    this.#ways.splice(this.#ways.indexOf(way), 1);
    // A PIN may be asked for outside `unlock` too: for one use of a key, or where a token was
    // removed and is back.
    if (this.#asked?.way === way) this.#settle(error);
    if (used) this.#allowance?.used(this.#options.nowMs());
    if (!this.#isInUse && this.#isEnded) void this.#service.close();
  }

  async unlock<P extends Purpose>(key: KeyInfo, purpose: P): Promise<PrivateKey<PurposeKeys[P]>> {
    const identity: Identity<PurposeKeys[P]> = this.#service.identity(key, purpose);
    let unlocked: PrivateKey<PurposeKeys[P]>;
    try {
      unlocked = await identity.unlock();
    } catch (error) {
      this.#settle(error);
      throw error;
    }
    this.#settle(undefined);
    this.#allowance ??= new Allowance(this.#options.limits, this.#options.nowMs());
    return unlocked;
  }

  #settle(error: unknown): void {
    const asked = this.#asked;
    this.#asked = undefined;
    asked?.settled?.(error);
  }

  /** The limit that is reached, if one is. */
  limitReached(): LimitReached | undefined {
    return this.#allowance?.reached(this.#options.nowMs());
  }

  /**
   * Whether the token is still there and logged in. One that was pulled and put back since somebody
   * looked is not. True while a request uses it, which would notice.
   */
  async lasts(uri: Parameters<TokenService["findToken"]>[0]): Promise<boolean> {
    if (this.#isInUse || this.#isEnded) return true;
    try {
      const token = await this.#service.findToken(uri);
      return (await this.#service.isLoggedIn(token)) || this.#isInUse;
    } catch (error) {
      if (error instanceof P11SealError) return false;
      throw error;
    }
  }

  /** Nobody uses it from now on; its process ends once those who do have their answer. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (!this.#isInUse) void this.#service.close();
  }

  get #isInUse(): boolean {
    return this.#ways.length > 0;
  }

  /** Whoever came last may be the one who can be asked. */
  #way(): WayToPin {
    const way = this.#ways.at(-1);
    if (way === undefined) throw new TypeError("a PIN was asked for, and nobody needs one");
    return way;
  }
}
