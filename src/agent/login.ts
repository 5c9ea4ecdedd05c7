/**
 * One login to a token: a process of its own, which has the module and the PIN, until a limit is
 * reached or somebody ends it. Ending that process is what forgets the PIN.
 */
import { P11SealError } from "../errors.js";
import type { Identity, PrivateKey, ExchangePublicKey } from "../keys/key.js";
import type { TokenService } from "../token/service.js";
import type { KeyInfo, PinReference, PinRequest } from "../token/values.js";
import { Allowance, type LimitReached, type Limits } from "./limits.js";

/** Where a PIN is, as `PinReferrer` says; from a source, or by asking a person. */
export interface PinFound {
  readonly pin: string | PinReference;
  /** False: the same PIN comes every time, so it is not tried again once it was refused. */
  readonly fromPerson: boolean;
  /** Called once the login has succeeded, or failed with `error`. */
  readonly settled?: ((error: unknown) => void) | undefined;
}

export interface LoginOptions {
  /** Starts the process. */
  readonly connect: (pin: (request: PinRequest) => Promise<string | PinReference>) => TokenService;
  readonly limits: Limits;
  readonly nowMs: () => number;
}

export class Login {
  readonly #options: LoginOptions;
  readonly #service: TokenService;
  #findPin: (request: PinRequest) => Promise<PinFound>;
  #allowance: Allowance | undefined;
  #wasFromPerson = true;
  #settled: PinFound["settled"];
  #inUse = 0;
  #isEnded = false;

  constructor(options: LoginOptions, findPin: (request: PinRequest) => Promise<PinFound>) {
    this.#options = options;
    this.#findPin = findPin;
    this.#service = options.connect(async (request) => {
      const { pin, fromPerson, settled } = await this.#findPin(request);
      this.#wasFromPerson = fromPerson;
      // A second question in one login would be about its first PIN.
      this.#settle(undefined);
      this.#settled = settled;
      return pin;
    });
  }

  /** What is left of it; undefined: nothing was unlocked yet. */
  get allowance(): Allowance | undefined {
    return this.#allowance;
  }

  /** False: the PIN that was sent came from a source. */
  get wasFromPerson(): boolean {
    return this.#wasFromPerson;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** A request begins to use it: it ends no sooner than `release` is called. */
  hold(findPin: (request: PinRequest) => Promise<PinFound>): void {
    this.#inUse += 1;
    // Until the token is logged in, whoever came last may be the one who can be asked.
    if (this.#allowance === undefined) this.#findPin = findPin;
  }

  /** A request has ended. `used`: the private key was asked for something. */
  release(used: boolean): void {
    this.#inUse -= 1;
    // A PIN may be asked for outside `unlock` too, where a token was removed and is back.
    this.#settle(undefined);
    if (used) this.#allowance?.used(this.#options.nowMs());
    if (this.#inUse === 0 && this.#isEnded) void this.#service.close();
  }

  async unlock(key: KeyInfo): Promise<PrivateKey<ExchangePublicKey>> {
    const identity: Identity<ExchangePublicKey> = this.#service.identity(key);
    let unlocked: PrivateKey<ExchangePublicKey>;
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
    const settled = this.#settled;
    this.#settled = undefined;
    settled?.(error);
  }

  /** The limit that is reached, if one is. */
  limitReached(): LimitReached | undefined {
    return this.#allowance?.reached(this.#options.nowMs());
  }

  /** Whether the token is still there; true while a request uses it, which would notice. */
  async isThere(uri: Parameters<TokenService["findToken"]>[0]): Promise<boolean> {
    if (this.#inUse > 0 || this.#isEnded) return true;
    try {
      await this.#service.findToken(uri);
      return true;
    } catch (error) {
      if (error instanceof P11SealError) return false;
      throw error;
    }
  }

  /** Nobody uses it from now on; its process ends once those who do have their answer. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (this.#inUse === 0) void this.#service.close();
  }
}
