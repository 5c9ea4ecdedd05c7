/**
 * `TokenService` through a connection: the modules are loaded at the other end. A connection that
 * is lost is opened anew for the next request. The PIN is then asked for again, unless a token
 * refused it or may have.
 */
import { defined } from "../../defined.js";
import { TokenError } from "../../errors.js";
import type { Identity, OaepHash, OaepParameters, PublicKey } from "../../keys/key.js";
import type { Purpose, PurposeKeys } from "../../keys/purpose.js";
import { Turnstile } from "../../turnstile.js";
import type { Diagnosis } from "../diagnosis.js";
import type { DeleteOptions, TokenService } from "../service.js";
import type { DevelopmentTokenOptions } from "../session/softhsm.js";
import type { Pkcs11Uri } from "../uri.js";
import type { Plan, PlanOperation } from "../use/plan.js";
import type {
  ErrorReport,
  Finding,
  GeneratedKey,
  GenerateRequest,
  KeyInfo,
  MechanismInfo,
  ModuleInfo,
  PadRequest,
  PinPolicy,
  PinReferrer,
  StoredCertificate,
  TokenInfo,
  Trouble,
  WithOthers,
} from "../values.js";
import type { ClientEnd } from "./connection.js";
import { Conversation, type Loss, type Task } from "./conversation.js";
import { RemoteKeys } from "./remote-keys.js";
import { SentPins } from "./sent-pins.js";
import { packError, type PackedError, type Start } from "./wire.js";

export interface TokenClientOptions {
  /** Absolute paths of modules; without any, those that are found. */
  readonly modules?: readonly string[] | undefined;
  /** P11SEAL_HOME. */
  readonly home: string;
  /**
   * Asked at most once per token and connection, and never again for a token that refused its PIN.
   * Where it answers with questions, the server may ask them again (`login.ts`).
   */
  readonly pin: PinReferrer;
  /** Tells a person to type a PIN on the token's reader. If it fails, so does the login. */
  readonly pad?: ((request: PadRequest) => unknown) | undefined;
  /** Try a PIN also where a wrong one would lock the token. */
  readonly force?: boolean | undefined;
  /** Gets one line for each thing worth knowing that is not an error. Public values only. */
  readonly trace?: ((line: string) => void) | undefined;
  /**
   * How long the token may take for one operation, milliseconds; making a key may take ten times as
   * long. Waiting for a person does not count. By default half a minute.
   */
  readonly timeoutMs?: number | undefined;
  /** Requests that are under way at once; by default four, as many threads as Node has for them. */
  readonly sessions?: number | undefined;
}

const TIMEOUT_MS = 30_000;

/**
 * How many time limits a method may take: its work grows with the token's content, or finds primes.
 */
const PATIENCE: Readonly<Record<string, number>> = {
  generate: 10,
  initDevelopmentToken: 10,
  modules: 4,
  keys: 4,
  troubles: 4,
  findKey: 4,
  findCopies: 4,
  diagnose: 4,
  audit: 10,
  probeOaep: 4,
  withPublicHalf: 4,
};

/**
 * Opens a connection to a server. `parent` is the client's process id if the server ends with it.
 */
export interface Connector {
  readonly parent?: number;
  readonly connect: () => ClientEnd;
}

export class TokenClient implements TokenService {
  readonly #options: TokenClientOptions;
  readonly #connector: Connector;
  readonly #pins: SentPins;
  readonly #keys: RemoteKeys;
  /** Modules whose code has returned once. */
  readonly #proven = new Set<string>();
  /** Modules that took a server down before any of their tokens was chosen, and how. */
  readonly #faulty = new Map<string, PackedError>();
  readonly #turnstile: Turnstile;
  #conversation: Conversation | undefined;

  constructor(options: TokenClientOptions, connector: Connector) {
    this.#options = options;
    this.#connector = connector;
    this.#pins = new SentPins(options.pin, (request) => options.pad?.(request));
    this.#keys = new RemoteKeys((task) => this.#send(task));
    this.#turnstile = new Turnstile(options.sessions ?? 4);
  }

  /** Connects ahead of the first request. No module is loaded before that. */
  start(): void {
    this.#connected();
  }

  modules(): Promise<ModuleInfo[]> {
    return this.#request("modules");
  }

  tokens(): Promise<TokenInfo[]> {
    return this.#request("tokens");
  }

  findToken(uri: Pkcs11Uri): Promise<TokenInfo> {
    return this.#request("findToken", uri);
  }

  keys(uri: Pkcs11Uri = {}): Promise<KeyInfo[]> {
    return this.#request("keys", uri);
  }

  troubles(uri: Pkcs11Uri = {}, depth: "tokens" | "keys" = "keys"): Promise<Trouble[]> {
    return this.#request("troubles", uri, depth);
  }

  findKey(uri: Pkcs11Uri): Promise<KeyInfo> {
    return this.#request("findKey", uri);
  }

  findCopies(uri: Pkcs11Uri): Promise<[KeyInfo, ...KeyInfo[]]> {
    return this.#request("findCopies", uri);
  }

  logIn(uri: Pkcs11Uri): Promise<void> {
    return this.#request("logIn", uri);
  }

  isLoggedIn(token: TokenInfo): Promise<boolean> {
    return this.#request("isLoggedIn", token);
  }

  obstacle(token: TokenInfo): Promise<ErrorReport | undefined> {
    return this.#request("obstacle", token);
  }

  pinPolicy(token: TokenInfo): Promise<PinPolicy> {
    return this.#request("pinPolicy", token);
  }

  changePin(token: TokenInfo): Promise<void> {
    return this.#request("changePin", token);
  }

  unblockPin(token: TokenInfo): Promise<void> {
    return this.#request("unblockPin", token);
  }

  withPublicHalf(key: KeyInfo, candidates: readonly PublicKey[]): Promise<KeyInfo | undefined> {
    return this.#request("withPublicHalf", key, candidates);
  }

  identity<P extends Purpose = "open">(
    key: KeyInfo,
    purpose: P = "open" as P,
  ): Identity<PurposeKeys[P]> {
    return this.#keys.identity(key, purpose);
  }

  generate(info: TokenInfo, request: GenerateRequest): Promise<GeneratedKey> {
    return this.#request("generate", info, request);
  }

  probeOaep(key: KeyInfo): Promise<OaepHash[]> {
    return this.#request("probeOaep", key);
  }

  storeCertificate(
    key: KeyInfo,
    certificate: Uint8Array,
    withOthers?: WithOthers,
  ): Promise<StoredCertificate> {
    return this.#request("storeCertificate", key, certificate, withOthers);
  }

  deleteKey(key: KeyInfo, options?: DeleteOptions): Promise<void> {
    return this.#request("deleteKey", key, options);
  }

  audit(uri: Pkcs11Uri = {}): Promise<Finding[]> {
    return this.#request("audit", uri);
  }

  mechanisms(info: TokenInfo): Promise<MechanismInfo[]> {
    return this.#request("mechanisms", info);
  }

  plan(key: KeyInfo, operation?: PlanOperation, oaep?: OaepParameters): Promise<Plan> {
    return this.#request("plan", key, operation, oaep);
  }

  diagnose(uri: Pkcs11Uri = {}): Promise<Diagnosis> {
    return this.#request("diagnose", uri);
  }

  rescan(): Promise<void> {
    this.#keys.forget();
    return this.#request("rescan");
  }

  /** As the function of that name; `home` and both PINs are this object's. */
  initDevelopmentToken(
    options: Pick<DevelopmentTokenOptions, "label" | "module">,
  ): Promise<TokenInfo> {
    return this.#request("initDevelopmentToken", options);
  }

  async close(): Promise<void> {
    const conversation = this.#conversation;
    this.#conversation = undefined;
    await conversation?.close();
  }

  #request<T>(method: string, ...args: readonly unknown[]): Promise<T> {
    return this.#send({ method, args }) as Promise<T>;
  }

  /** Sends a request when it is its turn. */
  #send(task: Task): Promise<unknown> {
    return this.#turnstile.through(() => this.#ask(task));
  }

  async #ask(task: Task): Promise<unknown> {
    const { timeoutMs = TIMEOUT_MS } = this.#options;
    const limitMs = timeoutMs * (PATIENCE[task.method] ?? 1);
    for (;;) {
      const conversation = this.#connected();
      try {
        return await conversation.request(task, limitMs);
      } catch (error) {
        // A token that was pulled has new handles once it is back, and some modules never notice.
        if (isGone(error)) this.#abandon(conversation);
        // A module that nobody chose must not keep others from being used: try again without it.
        if (conversation.loss?.module === undefined || conversation.hasAskedForPin) throw error;
      }
    }
  }

  #connected(): Conversation {
    if (this.#conversation !== undefined && this.#conversation.loss === undefined) {
      return this.#conversation;
    }
    const { modules = [], home, force = false, trace, timeoutMs = TIMEOUT_MS } = this.#options;
    const { parent, connect } = this.#connector;
    const start: Start = {
      ...{ kind: "start", modules, home, force, ...defined({ parent }) },
      traced: trace !== undefined,
      faulty: [...this.#faulty],
    };
    const conversation: Conversation = new Conversation({
      ...{ connection: connect(), start, pins: this.#pins, proven: this.#proven },
      stepMs: timeoutMs,
      trace: (line) => trace?.(line),
      lost: (loss) => {
        this.#lost(conversation, loss);
      },
    });
    this.#conversation = conversation;
    return conversation;
  }

  #abandon(conversation: Conversation): void {
    this.#forget(conversation);
    void conversation.close();
  }

  #lost(conversation: Conversation, { module, error }: Loss): void {
    this.#forget(conversation);
    if (module !== undefined) this.#faulty.set(module, packError(error));
    this.#pins.serverLost();
  }

  #forget(conversation: Conversation): void {
    if (this.#conversation !== conversation) return;
    this.#conversation = undefined;
    this.#keys.forget();
  }
}

function isGone(error: unknown): boolean {
  return error instanceof TokenError && error.code === "ERR_TOKEN_REMOVED";
}
