/**
 * A token in a slot, and the conversations with it.
 *
 * Login belongs to the whole process, not to a session, and lasts while any session is open
 * (PKCS#11 v2.40 §5.6); so one session is kept open from login to the end, nobody logs out, and every
 * operation gets a short session of its own. That way operations run side by side, each session has at
 * most one, and a session that a failure left stuck is simply thrown away.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { TokenError } from "../../errors.js";
import type { Secret } from "../../secret.js";
import { call, failedWith } from "../modules/call.js";
import { CKO, SESSION_FLAG } from "../modules/constants.js";
import { askPin, contextLogin, login } from "./login.js";
import type { Module } from "../modules/module.js";
import { Session } from "./session.js";
import { readDetails, type TokenDetails } from "./token-info.js";
import type { PinProvider, TokenInfo } from "../values.js";

export class Token {
  readonly module: Module;
  /** CK_SLOT_ID, 8 bytes; never leaves this folder. */
  readonly slot: Buffer;
  readonly #mechanisms = new Map<number, { flags: number; min: number; max: number } | undefined>();
  #details: TokenDetails;
  #keeper: Session | undefined;
  #login: Promise<void> | undefined;
  /** For keys that want the PIN with every use; kept only where the token has such a key. */
  #pin: Promise<Secret> | undefined;
  #ask: (() => Promise<Secret>) | undefined;
  #refused: { readonly error: unknown } | undefined;
  #pinTried: ((refusal: unknown) => void) | undefined;
  readonly #wantsPin = new Map<string, boolean>();

  constructor(module: Module, slot: Buffer, details: TokenDetails) {
    this.module = module;
    this.slot = slot;
    this.#details = details;
  }

  get details(): TokenDetails {
    return this.#details;
  }

  /** What the token says of itself now. A login is over if the token was pulled in between. */
  update(details: TokenDetails): void {
    this.#details = details;
    if (this.#keeper !== undefined && !this.#keeper.isOpen()) this.close();
  }

  get info(): TokenInfo {
    return this.#details.info;
  }

  /**
   * Logs the user in, once: a second call waits for the first or does nothing, and a refusal is
   * remembered and repeated, so that no PIN is sent twice. A login that ended with the token, which was
   * pulled and is back, is made again. `pinTried` is told of the logins for single operations that
   * follow, with what the token had against the PIN.
   *
   * @throws TokenError `ERR_PIN_…`.
   */
  login(
    pin: PinProvider,
    options: { force: boolean; pinTried?: (refusal: unknown) => void },
  ): Promise<void> {
    if (this.isPresent() && this.#keeper !== undefined && !this.#keeper.isOpen()) this.close();
    this.#pinTried = options.pinTried;
    this.#login ??= this.#logIn(pin, options.force);
    return this.#login;
  }

  async #logIn(provide: PinProvider, force: boolean): Promise<void> {
    const keeper = this.#open(false);
    // The flags of now: another program may have spent tries since the token was found.
    this.#ask = () => askPin(readDetails(this.module, this.slot), provide, force);
    try {
      const details = readDetails(this.module, this.slot);
      const pin = await login(keeper, details, provide, force);
      if (pin !== undefined && hasPinKeys(keeper)) this.#pin = Promise.resolve(pin);
      else pin?.wipe();
    } catch (error) {
      keeper.close();
      throw error;
    }
    this.#keeper = keeper;
  }

  /**
   * Sends the PIN for one operation that this session has begun, if the key wants that
   * (CKA_ALWAYS_AUTHENTICATE). It is the PIN of the login, or asked for once; one that was refused is
   * not sent again, and no other is.
   *
   * @throws TokenError `ERR_PIN_…`.
   */
  async authenticate(session: Session, object: Buffer): Promise<void> {
    const name = object.toString("hex");
    const wants = this.#wantsPin.get(name) ?? session.flag(object, "ALWAYS_AUTHENTICATE") === true;
    this.#wantsPin.set(name, wants);
    if (!wants || this.#ask === undefined) return;
    this.#pin ??= this.#ask();
    const pin = await this.#pin.catch((error: unknown) => {
      this.#refused ??= { error };
      throw error;
    });
    // From here on nothing waits: of several operations none sends what another has seen refused.
    if (this.#refused !== undefined) throw this.#refused.error;
    try {
      if (!contextLogin(session, this.#details, pin)) this.#wantsPin.set(name, false);
      this.#pinTried?.(undefined);
    } catch (error) {
      if (error instanceof TokenError && error.code.startsWith("ERR_PIN")) {
        this.#refused = { error };
        pin.wipe();
        this.#pinTried?.(error);
      }
      throw error;
    }
  }

  /**
   * Runs `work` in a session of its own, which ends with it.
   *
   * @throws TokenError `ERR_TOKEN_REMOVED` when the token was pulled since its login: handles of before
   * may mean other objects, or none.
   */
  async session<T>(mode: "read" | "write", work: (session: Session) => Promise<T> | T): Promise<T> {
    if (this.#keeper !== undefined && !this.#keeper.isOpen()) {
      throw new TokenError("ERR_TOKEN_REMOVED", `token "${this.info.label}" was pulled`, {
        hint: "if it is back, try again: it wants its PIN anew",
      });
    }
    const session = this.#open(mode === "write");
    try {
      return await work(session);
    } finally {
      session.close();
    }
  }

  #open(isWriting: boolean): Session {
    const flags = SESSION_FLAG.SERIAL | (isWriting ? SESSION_FLAG.READ_WRITE : 0);
    const handle = call("C_OpenSession", () => this.module.native.C_OpenSession(this.slot, flags));
    return new Session(this.module, this.slot, handle);
  }

  /** What the token does with a mechanism: MECHANISM_FLAG bits and key sizes; undefined without it. */
  mechanism(mechanism: number): { flags: number; min: number; max: number } | undefined {
    if (!this.#mechanisms.has(mechanism)) {
      this.#mechanisms.set(mechanism, this.#readMechanism(mechanism));
    }
    return this.#mechanisms.get(mechanism);
  }

  #readMechanism(mechanism: number): { flags: number; min: number; max: number } | undefined {
    try {
      const { flags, minKeySize, maxKeySize } = call("C_GetMechanismInfo", () =>
        this.module.native.C_GetMechanismInfo(this.slot, mechanism),
      );
      return { flags, min: minKeySize, max: maxKeySize };
    } catch (error) {
      if (failedWith(error, "CKR_MECHANISM_INVALID", "CKR_FUNCTION_NOT_SUPPORTED"))
        return undefined;
      throw error;
    }
  }

  /** True when the mechanism has one of these flags. */
  can(mechanism: number, flag: number): boolean {
    return ((this.mechanism(mechanism)?.flags ?? 0) & flag) !== 0;
  }

  /** True while the token answers. What it answers is of no interest. */
  isPresent(): boolean {
    try {
      readDetails(this.module, this.slot);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * As `isPresent`, for a doubt after a failure: a reader notices late that its token was pulled, and
   * until then the module answers from memory. So where a token can be pulled, it is asked for as long
   * as readers take.
   */
  async isStillPresent(): Promise<boolean> {
    const { removable } = this.#details.slot;
    const deadline = Date.now() + (removable ? READER_MS : 0);
    for (;;) {
      if (!this.isPresent()) return false;
      if (Date.now() >= deadline) return true;
      await sleep(READER_MS / 10);
    }
  }

  isLoggedIn(): boolean {
    return this.#keeper?.isOpen() === true;
  }

  /** Ends the kept session and, when no other is open in this process, the login. */
  close(): void {
    this.#keeper?.close();
    this.#keeper = undefined;
    this.#login = undefined;
    this.#ask = undefined;
    void this.#pin?.then(
      (pin) => {
        pin.wipe();
      },
      () => undefined,
    );
    this.#pin = undefined;
    this.#wantsPin.clear();
  }
}

/** Keys that want the PIN with every use. A token that can't be asked so may still have one. */
function hasPinKeys(session: Session): boolean {
  try {
    const found = session.find({ CLASS: CKO.PRIVATE_KEY, ALWAYS_AUTHENTICATE: true });
    return found.length > 0;
  } catch (error) {
    if (error instanceof TokenError) return false;
    throw error;
  }
}

/** pcscd looks every 400 ms into readers that don't tell by themselves. */
const READER_MS = 600;
