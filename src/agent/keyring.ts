/**
 * The keys that an agent serves: those that tokens show without a PIN, found again when a message
 * matches none of them; and a login for each token while somebody uses it.
 */
import { equal } from "../bytes.js";
import { Cancelled, P11SealError, PolicyError, TokenError } from "../errors.js";
import { defined } from "../defined.js";
import { matchesRecipient } from "../envelope/messages.js";
import type { MessageInfo, SenderInfo } from "../envelope/message-info.js";
import type { ExchangePublicKey, Identity, PrivateKey, SigningPublicKey } from "../keys/key.js";
import { around } from "../keys/around.js";
import type { PurposeKeys } from "../keys/purpose.js";
import type { TokenService } from "../token/service.js";
import { matchesKey, matchesModuleName, matchesToken } from "../token/uri-match.js";
import { formatUri, parseUri, type Pkcs11Uri } from "../token/uri.js";
import { isForSigning } from "../token/use/situation.js";
import type { KeyInfo, PadRequest, PinRequest, TokenInfo } from "../token/values.js";
import type { Limits } from "./limits.js";
import { Login, type LoginOptions, type PinFound, type WayToPin } from "./login.js";
import type { ServedTokenStatus } from "./protocol.js";
import type { Client } from "./server.js";

/** Whoever asks for a key, and what for. */
export interface Purpose {
  readonly client: Client;
  /** The client's terminal, as it says. */
  readonly terminal?: string | undefined;
  /** The host that the client asks on behalf of, as it says. */
  readonly remote?: string | undefined;
  /** What the key is to do. */
  readonly act: "open" | "re-wrap" | "sign" | "pass on";
  readonly message: KnownMessage;
}

/** What is known of the message that a key is for. */
export interface KnownMessage {
  /** As in `MessageInfo`; undefined: it is not made yet. */
  readonly messageId: string | undefined;
  /** Whose signature holds; undefined: nobody signed. */
  readonly sender: SenderInfo | undefined;
  /** Of one that is to be signed: whom it is for, in words; of another, who comes and goes. */
  readonly addressees?: string | undefined;
}

export interface KeyringOptions {
  readonly connect: LoginOptions["connect"];
  /** Only keys that one of these matches; by default all that are found. */
  readonly uris: readonly Pkcs11Uri[];
  /** Also keys that can only sign, and these for nothing but that. By default, none signs. */
  readonly signs?: boolean | undefined;
  readonly limits: Limits;
  /** A monotonic clock, milliseconds. */
  readonly nowMs: () => number;
  /** Where the PIN is that somebody needs. Throws where there is none. */
  readonly findPin: (request: PinRequest, purpose: Purpose) => Promise<PinFound>;
  /** Has a person told to type a PIN on a reader. Throws where nobody is to be asked now. */
  readonly atPad: (request: PadRequest, purpose: Purpose) => ReturnType<WayToPin["atPad"]>;
  /** Asks a person whether to use the key. Throws to refuse. Absent: nobody is asked. */
  readonly confirm?: ((key: KeyInfo, purpose: Purpose) => Promise<void>) | undefined;
}

export class Keyring {
  readonly #options: KeyringOptions;
  readonly #logins = new Map<string, Login>();
  /** Tokens that refused a PIN from a source: the same PIN would only be refused again. */
  readonly #refused = new Map<string, P11SealError>();
  /** All that tokens show, served or not. */
  #shown: readonly KeyInfo[] = [];
  #keys: readonly KeyInfo[] = [];
  #lookedAtMs = -Infinity;
  #looking: Promise<void> | undefined;
  #checking: Promise<void> | undefined;

  constructor(options: KeyringOptions) {
    this.#options = options;
  }

  /** Looks for keys, in a process that gets no PIN and ends then. */
  async look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  /** The keys that were found. */
  get keys(): readonly KeyInfo[] {
    return this.#keys;
  }

  /** True while a token is logged in. */
  get isUnlocked(): boolean {
    return this.#logins.size > 0;
  }

  /**
   * Those that can open the message; what names none of its recipients only by way of a URI that
   * the client gave. Tokens that are logged in come first.
   *
   * @param only - no key that none of these matches
   */
  async keysFor(
    info: MessageInfo,
    uris: readonly Pkcs11Uri[] | undefined,
    only: readonly Pkcs11Uri[] | undefined,
  ): Promise<KeyInfo[]> {
    const find = (): KeyInfo[] => {
      const all = this.#keys.filter(
        (key) =>
          !this.#isSigner(key) &&
          fits(key, info, uris) &&
          (only === undefined || isNamed(key, only)),
      );
      const isReady = (key: KeyInfo): boolean => this.#logins.has(nameOf(key.token));
      return [...all.filter(isReady), ...all.filter((key) => !isReady(key))];
    };
    const found = find();
    if (found.length > 0) return found;
    if (!this.#mayLookAgain()) return [];
    await this.look();
    return find();
  }

  /**
   * The one signing key that a URI names among all keys that tokens show, if it is served. Of
   * copies on several tokens, one whose token is logged in, or the first.
   */
  async signerFor(uri: Pkcs11Uri): Promise<SigningKey | undefined> {
    if (this.#options.signs !== true) return undefined;
    const find = (): SigningKey | undefined => {
      const named = this.#shown.filter((key) => isNamed(key, [uri]));
      const [first, ...others] = named.map(({ publicKey }) => publicKey?.fingerprint);
      if (first === undefined || others.some((one) => one === undefined || !equal(one, first))) {
        return undefined;
      }
      const served = named.filter((key) => this.#keys.includes(key)).filter(isSigningKey);
      return served.find(({ token }) => this.#logins.has(nameOf(token))) ?? served[0];
    };
    const found = find();
    if (found !== undefined || !this.#mayLookAgain()) return found;
    await this.look();
    return find();
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

  /** Ends the logins to tokens that were removed. A module that takes long is asked once. */
  async lockRemoved(): Promise<void> {
    this.#checking ??= this.#lockRemoved().finally(() => {
      this.#checking = undefined;
    });
    await this.#checking;
  }

  status(): ServedTokenStatus[] {
    this.lockExpired();
    const nowMs = this.#options.nowMs();
    const tokens = new Map(this.#keys.map(({ token }) => [nameOf(token), token]));
    return [...tokens].map(([name, { label, serial, pinPad }]) => {
      const left = this.#logins.get(name)?.allowance;
      return {
        ...{ label, serial, pinPad, unlocked: left !== undefined },
        keys: this.#keys.filter(({ token }) => nameOf(token) === name).map(({ uri }) => uri),
        ...defined({
          uses: left?.uses,
          secondsLeft: left && Math.ceil(left.totalLeftMs(nowMs) / 1000),
          idleSecondsLeft: left && Math.ceil(left.idleLeftMs(nowMs) / 1000),
          usesLeft: left?.usesLeft,
        }),
      };
    });
  }

  async #lockRemoved(): Promise<void> {
    const pairs = [...this.#logins];
    await Promise.all(
      pairs.map(async ([name, login]) => {
        if (login.allowance === undefined) return;
        // Without its token, whoever looked for keys meanwhile did not find it.
        const token = this.#keys.find((key) => nameOf(key.token) === name)?.token;
        const lasts = token !== undefined && (await login.lasts(parseUri(token.uri)));
        if (!lasts) this.#end(name, login);
      }),
    );
  }

  async #look(): Promise<void> {
    const { connect, uris, nowMs } = this.#options;
    const none = (): Promise<never> => Promise.reject(new TypeError("a PIN was asked for"));
    const service: TokenService = connect(none, none);
    try {
      this.#shown = await service.keys();
      const all = this.#shown.filter((key) => canOpen(key) || this.#isSigner(key));
      this.#keys = uris.length === 0 ? all : all.filter((key) => isNamed(key, uris));
    } finally {
      this.#lookedAtMs = nowMs();
      await service.close();
    }
  }

  /** No request makes tokens be looked at again sooner. */
  #mayLookAgain(): boolean {
    return this.#options.nowMs() - this.#lookedAtMs >= LOOK_AGAIN_MS;
  }

  #isSigner(key: KeyInfo): boolean {
    return this.#options.signs === true && isSigningKey(key);
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
      if (hasCode(error, SPENT)) this.#spent(name, login, error);
      // A process that has no PIN yet is of no use to the next request.
      if (login.allowance === undefined || hasCode(error, LOST)) this.#end(name, login);
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
    const isOver = login.limitReached() !== undefined || hasCode(error, LOST) || isOfPin(error);
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

/** What a key is unlocked for. */
type How = "open" | "sign";

interface Unlocked<P extends How> {
  readonly privateKey: PrivateKey<PurposeKeys[P]>;
  /** `error`: what the request ended with. */
  readonly release: (error: unknown) => void;
}

type Unlock = <P extends How>(
  key: KeyInfo,
  how: P,
  message: KnownMessage,
  isUse: boolean,
) => Promise<Unlocked<P>>;

/** A key that can only sign. */
export type SigningKey = KeyInfo & { readonly publicKey: SigningPublicKey };

/** What one request does with keys. */
export class Use {
  readonly #unlock: Unlock;
  readonly #held: Pick<Unlocked<How>, "release">[] = [];
  #key: KeyInfo | undefined;
  #path: string | undefined;

  constructor(unlock: Unlock) {
    this.#unlock = unlock;
  }

  /** The key that was unlocked last, or that was to be; a custodian's is not told. */
  get key(): KeyInfo | undefined {
    return this.#key;
  }

  /** How its token was asked. */
  get path(): string | undefined {
    return this.#path;
  }

  identity(key: KeyInfo, message: KnownMessage): Identity<ExchangePublicKey> {
    const identity = {
      publicKey: key.publicKey as ExchangePublicKey,
      name: key.uri,
      ...(key.label === "" ? {} : { label: key.label }),
      unlock: async () => {
        this.#key = key;
        const unlocked = await this.#unlock(key, "open", message, true);
        this.#held.push(unlocked);
        return unlocked.privateKey;
      },
    };
    const using = (path: string): void => {
      this.#path = path;
    };
    return around(identity, { using });
  }

  /** A key to sign with, unlocked: the sender's, or, once a message is open, a custodian's. */
  async signer(key: SigningKey, message: KnownMessage): Promise<PrivateKey<SigningPublicKey>> {
    this.#key ??= key;
    const unlocked = await this.#unlock(key, "sign", message, true);
    this.#held.push(unlocked);
    return unlocked.privateKey;
  }

  /** Logs in to the key's token, so that its PIN is there before a message is made. */
  async prepare(key: SigningKey): Promise<void> {
    const message = { messageId: undefined, sender: undefined };
    this.#held.push(await this.#unlock(key, "sign", message, false));
  }

  /** @param error - what the request ended with, if it did */
  end(error?: unknown): void {
    for (const { release } of this.#held.splice(0)) release(error);
  }
}

const LOOK_AGAIN_MS = 2000;

/** A PIN was refused. */
const REFUSED: ReadonlySet<string> = new Set(["ERR_PIN_REFUSED", "ERR_PIN_LOCKED"]);

/** Errors of a login after which the token's retry counter may have gone down. */
const SPENT: ReadonlySet<string> = new Set([...REFUSED, "ERR_PKCS11"]);

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

function canOpen({ publicKey }: KeyInfo): boolean {
  return publicKey !== undefined && publicKey.type !== "ed25519";
}

function isSigningKey(key: KeyInfo): key is SigningKey {
  const type = key.publicKey?.type;
  return (type === "rsa" || type === "ec" || type === "ed25519") && isForSigning(key);
}

function fits(key: KeyInfo, info: MessageInfo, uris: readonly Pkcs11Uri[] | undefined): boolean {
  const { publicKey } = key;
  if (publicKey === undefined || publicKey.type === "ed25519") return false;
  if (!matchesRecipient(info, publicKey)) return false;
  if (uris !== undefined) return isNamed(key, uris);
  const { recipients } = info;
  return recipients.some((one) => one.tag !== undefined && one.matches(publicKey));
}

/** By attributes alone. A URI with one that can't be compared here matches no key. */
function isNamed(key: KeyInfo, uris: readonly Pkcs11Uri[]): boolean {
  return uris.some(
    (uri) =>
      NOT_COMPARED.every((name) => uri[name] === undefined) &&
      matchesToken(uri, key.token) &&
      matchesKey(uri, key) &&
      matchesModuleName(uri, key.token.module) &&
      (uri.modulePath === undefined || uri.modulePath === key.token.module),
  );
}

const NOT_COMPARED = [
  ...(["libraryManufacturer", "libraryDescription", "libraryVersion"] as const),
  ...(["slotManufacturer", "slotDescription", "otherPath"] as const),
] as const;

/** A token's own name: the same through whichever module it was found. */
function nameOf({ label, serial, model, manufacturer }: TokenInfo): string {
  return formatUri({ token: label, serial, model, manufacturer });
}
