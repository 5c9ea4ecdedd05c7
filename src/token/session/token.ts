/**
 * A token in a slot, and the sessions with it.
 *
 * Login belongs to the whole process, not to a session, and lasts while any session is open
 * (PKCS#11 v2.40 §5.6); so one session stays open from login to the end, nothing logs out, and
 * every operation gets a short session of its own. That way operations run side by side, one per
 * session, and a session left stuck by a failure is simply discarded.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { mayHideKeys } from "../hiding.js";
import { TokenError } from "../../errors.js";
import type { Secret } from "../../secret.js";
import { call, failedWith } from "../modules/call.js";
import { CKO, SESSION_FLAG } from "../modules/constants.js";
import { askPin, contextLogin, contextLoginAtPad, login, type LoginOptions } from "./login.js";
import type { Module } from "../modules/module.js";
import { Session } from "./session.js";
import { readDetails, type TokenDetails } from "./token-info.js";
import type { PinAsker, TokenInfo } from "../values.js";

export class Token {
  readonly module: Module;
  /** CK_SLOT_ID, 8 bytes; never leaves `src/token`. */
  readonly slot: Buffer;
  /** Unlisted mechanisms, with their function, that were tried and that the token does not have. */
  readonly refused = new Set<string>();
  readonly #mechanisms = new Map<number, { flags: number; min: number; max: number } | undefined>();
  #details: TokenDetails;
  #keeper: Session | undefined;
  /** Events in the slot until the login. */
  #events = 0;
  #login: Promise<void> | undefined;
  /** For keys that require the PIN with every use; kept only when the token has such a key. */
  #pin: Promise<Secret> | undefined;
  #ask: (() => Promise<Secret>) | undefined;
  #refused: { readonly error: unknown } | undefined;
  #pinTried: ((refusal: unknown) => void) | undefined;
  /** For keys that require the PIN with every use, where it is typed on the reader. */
  #padOptions: LoginOptions | undefined;
  /** Settles when nobody is at the reader: it asks one question at a time. */
  #padIsFree: Promise<unknown> = Promise.resolve();
  readonly #wantsPin = new Map<string, boolean>();

  constructor(module: Module, slot: Buffer, details: TokenDetails) {
    this.module = module;
    this.slot = slot;
    this.#details = details;
  }

  get details(): TokenDetails {
    return this.#details;
  }

  /**
   * Sets what the token says about itself now. A login is over if the token was pulled in the
   * meantime.
   */
  update(details: TokenDetails): void {
    this.#details = details;
    if (this.#keeper !== undefined && !this.isLoggedIn()) this.close();
  }

  get info(): TokenInfo {
    return this.#details.info;
  }

  /**
   * Logs the user in, once: a second call waits for the first or does nothing, and a refusal is
   * remembered and repeated, so that no PIN is sent twice. A login is repeated when the token was
   * pulled, which ended it, and is back. `pinTried` is called after each later login for a single
   * operation, with the error if the token refused the PIN.
   *
   * @throws TokenError `ERR_PIN_…`.
   */
  login(
    pin: PinAsker,
    options: LoginOptions & { readonly pinTried?: (refusal: unknown) => void },
  ): Promise<void> {
    if (this.isPresent() && this.#keeper !== undefined && !this.isLoggedIn()) this.close();
    this.#pinTried = options.pinTried;
    this.#login ??= this.#logIn(pin, options);
    return this.#login;
  }

  async #logIn(provide: PinAsker, options: LoginOptions): Promise<void> {
    // What happens from now on makes this login doubtful.
    this.#events = this.module.events.count(this.slot);
    const keeper = this.#open(false);
    this.#padOptions = options;
    // Read the flags again: another program may have used up tries since the token was found.
    this.#ask = () => askPin(readDetails(this.module, this.slot), provide, options.force);
    try {
      const details = readDetails(this.module, this.slot);
      const pin = await login(keeper, details, provide, options);
      if (pin !== undefined && hasPinKeys(keeper)) this.#pin = Promise.resolve(pin);
      else pin?.wipe();
    } catch (error) {
      keeper.close();
      throw error;
    }
    this.#keeper = keeper;
  }

  /**
   * Sends the PIN for one operation that this session has begun, if the key requires it
   * (CKA_ALWAYS_AUTHENTICATE). The PIN is that of the login or is asked for once; a reader with a
   * PIN pad asks for it each time. After a refusal, neither that PIN nor another is sent.
   *
   * @throws TokenError `ERR_PIN_…`.
   */
  async authenticate(session: Session, object: Buffer): Promise<void> {
    const name = object.toString("hex");
    const wants = this.#wantsPin.get(name) ?? session.flag(object, "ALWAYS_AUTHENTICATE") === true;
    this.#wantsPin.set(name, wants);
    if (!wants || this.#ask === undefined) return;
    if (this.info.pinPad) {
      const asked = this.#padIsFree.then(() => this.#authenticateAtPad(session, name));
      this.#padIsFree = asked.catch(() => undefined);
      return asked;
    }
    this.#pin ??= this.#ask();
    const pin = await this.#pin.catch((error: unknown) => {
      this.#refused ??= { error };
      throw error;
    });
    // No await from here on, so no operation sends a PIN that another has seen refused.
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

  async #authenticateAtPad(session: Session, key: string): Promise<void> {
    if (this.#refused !== undefined) throw this.#refused.error;
    // Others were asked first, and may have found that the token wants no PIN for this.
    if (this.#padOptions === undefined || this.#wantsPin.get(key) === false) return;
    try {
      const { info } = readDetails(this.module, this.slot);
      if (!(await contextLoginAtPad(session, info, this.#padOptions))) {
        this.#wantsPin.set(key, false);
      }
      this.#pinTried?.(undefined);
    } catch (error) {
      // Nobody is asked again, also after a failure that does not tell whether a PIN was typed.
      this.#refused = { error };
      this.#pinTried?.(error);
      throw error;
    }
  }

  /**
   * Runs `work` in a session of its own and then closes the session.
   *
   * @throws TokenError `ERR_TOKEN_REMOVED` when the token was pulled after its login: old handles
   *   may now refer to other objects, or to none.
   */
  async session<T>(mode: "read" | "write", work: (session: Session) => Promise<T> | T): Promise<T> {
    if (this.#keeper !== undefined && !this.#keeper.isOpen()) {
      throw new TokenError("ERR_TOKEN_REMOVED", `token "${this.info.label}" was pulled`, {
        hint: "if it is back, try again; it needs its PIN again",
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

  /**
   * A mechanism's MECHANISM_FLAG bits and key sizes; undefined when the token lacks the mechanism.
   */
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

  /** True while the token answers, whatever the answer. */
  isPresent(): boolean {
    try {
      readDetails(this.module, this.slot);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * As `isPresent`, to be used after a failure. A reader notices late that its token was pulled,
   * and until then the module answers from memory. So a removable token is asked repeatedly for as
   * long as readers may take to notice.
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

  /**
   * True while the login lasts. It ends with its session, and where something happened in the slot:
   * not every module ends the sessions of a card that was pulled and put back at once.
   */
  isLoggedIn(): boolean {
    if (this.#keeper?.isOpen() !== true) return false;
    const { slot, module } = this;
    return !this.#details.slot.removable || module.events.count(slot) === this.#events;
  }

  /** True when no login would show more. */
  showsAll(): boolean {
    return !mayHideKeys(this.info) || this.isLoggedIn();
  }

  /** There is a new PIN, which no token has refused. */
  pinChanged(): void {
    this.close();
    this.#refused = undefined;
  }

  /** Closes the kept session and thereby, when no other is open in this process, ends the login. */
  close(): void {
    this.#keeper?.close();
    this.#keeper = undefined;
    this.#login = undefined;
    this.#ask = undefined;
    this.#padOptions = undefined;
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

/**
 * True when the token has keys that require the PIN with every use. A token that rejects the query
 * may still have one.
 */
function hasPinKeys(session: Session): boolean {
  try {
    const found = session.find({ CLASS: CKO.PRIVATE_KEY, ALWAYS_AUTHENTICATE: true });
    return found.length > 0;
  } catch (error) {
    if (error instanceof TokenError) return false;
    throw error;
  }
}

/** pcscd polls readers that do not report changes every 400 ms. */
const READER_MS = 600;
