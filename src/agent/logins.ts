/**
 * The logins of an agent: one for each token while somebody uses it, until a limit is reached, the
 * token is removed or somebody ends it. A token that refused a PIN from a source gets none again.
 */
import { defined } from "../defined.js";
import { Cancelled, P11SealError, PolicyError, TokenError } from "../errors.js";
import { formatUri, parseUri } from "../token/uri.js";
import type { KeyInfo, PadRequest, PinRequest, TokenInfo } from "../token/values.js";
import { Login, type LoginOptions, type PinFound, type WayToPin } from "./login.js";
import type { ServedTokenStatus } from "./protocol.js";
import { Use, type How, type Purpose, type Unlocked } from "./use.js";

export interface LoginsOptions extends LoginOptions {
  /** Where the PIN is that somebody needs. Throws where there is none. */
  readonly findPin: (request: PinRequest, purpose: Purpose) => Promise<PinFound>;
  /** Has a person told to type a PIN on a reader. Throws where nobody is to be asked now. */
  readonly atPad: (request: PadRequest, purpose: Purpose) => ReturnType<WayToPin["atPad"]>;
  /** Asks a person whether to use the key. Throws to refuse. Absent: nobody is asked. */
  readonly confirm?: ((key: KeyInfo, purpose: Purpose) => Promise<void>) | undefined;
}

export class Logins {
  readonly #options: LoginsOptions;
  readonly #logins = new Map<string, Login>();
  /** Tokens that refused a PIN from a source: the same PIN would only be refused again. */
  readonly #refused = new Map<string, P11SealError>();
  #checking: Promise<void> | undefined;

  constructor(options: LoginsOptions) {
    this.#options = options;
  }

  /** True while a token is logged in. */
  get isUnlocked(): boolean {
    return this.#logins.size > 0;
  }

  /** The same keys: first those whose tokens are logged in. */
  readyFirst<Key extends KeyInfo>(keys: readonly Key[]): Key[] {
    const isReady = ({ token }: Key): boolean => this.#logins.has(nameOf(token));
    return [...keys.filter(isReady), ...keys.filter((key) => !isReady(key))];
  }

  /** Begins a request, which is to be ended. */
  use(purpose: Omit<Purpose, "message">): Use {
    return new Use((key, how, message, isUse) => {
      const act = how === "sign" && purpose.act === "re-wrap" ? "pass on" : purpose.act;
      return this.#login(key, how, { ...purpose, act, message }, isUse);
    });
  }

  /** Ends every login. */
  lock(): void {
    for (const login of this.#logins.values()) login.end();
    this.#logins.clear();
  }

  /** A person may have put right what a token refused: the source of its PIN is tried once more. */
  forgetRefusals(): void {
    this.#refused.clear();
  }

  /** Ends the logins whose limits are reached. */
  lockExpired(): void {
    for (const [name, login] of this.#logins) {
      if (login.isEnded || login.limitReached() !== undefined) this.#end(name, login);
    }
  }

  /**
   * Ends the logins to tokens that were removed. A module that takes long is asked once.
   *
   * @param keys - those found when tokens were last looked at
   */
  async lockRemoved(keys: readonly KeyInfo[]): Promise<void> {
    this.#checking ??= this.#lockRemoved(keys).finally(() => {
      this.#checking = undefined;
    });
    await this.#checking;
  }

  /** Of the tokens that have these keys: what is left of their logins. */
  status(keys: readonly KeyInfo[]): ServedTokenStatus[] {
    this.lockExpired();
    const nowMs = this.#options.nowMs();
    const tokens = new Map(keys.map(({ token }) => [nameOf(token), token]));
    return [...tokens].map(([name, { label, serial, pinPad }]) => {
      const left = this.#logins.get(name)?.allowance;
      return {
        ...{ label, serial, pinPad, unlocked: left !== undefined },
        keys: keys.filter(({ token }) => nameOf(token) === name).map(({ uri }) => uri),
        ...defined({
          uses: left?.uses,
          secondsLeft: left && Math.ceil(left.totalLeftMs(nowMs) / 1000),
          idleSecondsLeft: left && Math.ceil(left.idleLeftMs(nowMs) / 1000),
          usesLeft: left?.usesLeft,
        }),
      };
    });
  }

  async #lockRemoved(keys: readonly KeyInfo[]): Promise<void> {
    const pairs = [...this.#logins];
    await Promise.all(
      pairs.map(async ([name, login]) => {
        if (login.allowance === undefined) return;
        // Without its token, whoever looked for keys meanwhile did not find it.
        const token = keys.find((key) => nameOf(key.token) === name)?.token;
        const lasts = token !== undefined && (await login.lasts(parseUri(token.uri)));
        if (!lasts) this.#end(name, login);
      }),
    );
  }

  /**
   * The key, unlocked: in the token's login, or in a new one.
   *
   * @param isUse - false: the PIN alone is to be had, and nobody is asked for consent
   */
  async #login<P extends How>(
    key: KeyInfo,
    how: P,
    purpose: Purpose,
    isUse: boolean,
  ): Promise<Unlocked<P>> {
    const { confirm, findPin, atPad } = this.#options;
    if (isUse) await confirm?.(key, purpose);
    this.lockExpired();
    const name = nameOf(key.token);
    const refused = this.#refused.get(name);
    if (refused !== undefined) throw refused;
    const way: WayToPin = {
      find: (request) => findPin(request, purpose),
      atPad: (request) => atPad(request, purpose),
    };
    const login = this.#loginFor(name);
    login.hold(way);
    try {
      const privateKey = await login.unlock(key, how);
      return {
        privateKey,
        release: (error) => {
          login.release(way, isUse, error);
          this.#afterUse(name, login, error);
        },
      };
    } catch (error) {
      if (mayHaveCostATry(error)) this.#spent(name, login, error);
      // A process that has no PIN yet is of no use to the next request.
      if (login.allowance === undefined || isLost(error)) this.#end(name, login);
      login.release(way, false, error);
      throw error instanceof Cancelled ? promptCancelled(key.token) : error;
    }
  }

  /** The token's login, unless those who use it now have its last uses. */
  #loginFor(name: string): Login {
    const known = this.#logins.get(name);
    if (known?.isTaken === true) this.#end(name, known);
    const login = this.#logins.get(name) ?? new Login(this.#options);
    this.#logins.set(name, login);
    return login;
  }

  #afterUse(name: string, login: Login, error: unknown): void {
    if (hasCode(error, REFUSED)) this.#spent(name, login, error);
    const isOver = login.limitReached() !== undefined || isLost(error) || isOfPin(error);
    if (isOver) this.#end(name, login);
  }

  /** A PIN from a source would only be refused again. */
  #spent(name: string, { wasFromPerson }: Login, error: P11SealError): void {
    if (!wasFromPerson) this.#refused.set(name, spent(error));
  }

  #end(name: string, login: Login): void {
    login.end();
    if (this.#logins.get(name) === login) this.#logins.delete(name);
  }
}

/** A PIN was refused. */
const REFUSED: ReadonlySet<string> = new Set(["ERR_PIN_REFUSED", "ERR_PIN_LOCKED"]);

/** True for what a login ended with if the token's retry counter may have gone down. */
function mayHaveCostATry(error: unknown): error is P11SealError {
  if (hasCode(error, REFUSED)) return true;
  return error instanceof TokenError && error.code === "ERR_PKCS11" && error.fn === "C_Login";
}

/**
 * True for what the PIN for one use of a key ended with: the token's process asks for none after
 * that, so the next request needs another process.
 */
function isOfPin(error: unknown): boolean {
  return error instanceof P11SealError && error.code.startsWith("ERR_PIN_");
}

function hasCode(error: unknown, codes: ReadonlySet<string>): error is P11SealError {
  return error instanceof P11SealError && codes.has(error.code);
}

/** The token, or its process, is gone. */
const LOST: ReadonlySet<string> = new Set([
  "ERR_TOKEN_REMOVED",
  "ERR_TOKEN_NOT_FOUND",
  "ERR_TOKEN_TIMEOUT",
  "ERR_TOKEN_CRASHED",
]);

/** True for an error after which a login is of no use any more. */
function isLost(error: unknown): boolean {
  if (hasCode(error, LOST)) return true;
  return error instanceof TokenError && error.ckr !== undefined && STALE.has(error.ckr);
}

/**
 * The token does not know the login, or the handle of a key, that its process has: it was away, or
 * somebody else has changed what is on it. Nothing that a client sends makes it say so.
 */
const STALE: ReadonlySet<string> = new Set([
  "CKR_KEY_HANDLE_INVALID",
  "CKR_OBJECT_HANDLE_INVALID",
  "CKR_UNWRAPPING_KEY_HANDLE_INVALID",
  "CKR_SESSION_CLOSED",
  "CKR_USER_NOT_LOGGED_IN",
]);

/** What a token that refused a PIN from a source is told of from then on. */
function spent(error: P11SealError): TokenError {
  const { code, message } = error;
  const { fn, ckr } = error instanceof TokenError ? error : {};
  const hint = "the PIN is not sent again; once its source is right: p11seal agent lock";
  return new TokenError(code, message, { hint, ...defined({ fn, ckr }) });
}

function promptCancelled({ label }: TokenInfo): PolicyError {
  return new PolicyError(
    "ERR_AGENT_CANCELLED",
    `the question for the PIN of token "${label}" was cancelled`,
  );
}

/** A token's own name: the same through whichever module it was found. */
function nameOf({ label, serial, model, manufacturer }: TokenInfo): string {
  return formatUri({ token: label, serial, model, manufacturer });
}
