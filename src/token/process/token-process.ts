/**
 * Tokens through a process of their own. The vendor's module runs there; whatever it does, crash,
 * abort or never return, this process gets an error within a time limit and goes on. A process that
 * ended is replaced at the next request, and the PIN is then asked for again, unless it was refused.
 */
import type { CapiIdentity, CapiPrivateKey } from "../../capi/private-key.js";
import type { CapiSigningIdentity, CapiSigningKey } from "../../capi/hash-signature.js";
import { TokenError } from "../../errors.js";
import type { EcPrivateKey, Identity, OaepHash, RsaPrivateKey, Using } from "../../keys/key.js";
import type { SigningIdentity } from "../../keys/signing.js";
import { Secret } from "../../secret.js";
import type { Diagnosis } from "../diagnosis.js";
import { exchangeHalf, rsaHalf, signingHalf } from "../objects/halves.js";
import type { Plan, PlanOperation } from "../use/plan.js";
import type { DevelopmentTokenOptions } from "../session/softhsm.js";
import type { TokenService } from "../service.js";
import type {
  Finding,
  GeneratedKey,
  GenerateRequest,
  KeyInfo,
  MechanismInfo,
  ModuleInfo,
  PinReferrer,
  PinRequest,
  TokenInfo,
} from "../values.js";
import type { Pkcs11Uri } from "../uri.js";
import { Child, type Ended, type Task } from "./running.js";
import { type PinAnswer, packError, type PackedError } from "./wire.js";

export interface TokenProcessOptions {
  /** Absolute paths of modules; without any, those that are found. */
  readonly modules?: readonly string[];
  /** P11SEAL_HOME. */
  readonly home: string;
  /** Environment of the process; without variables that hold a PIN. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Asked at most once per token and process, and never again for a token that refused its PIN. */
  readonly pin: PinReferrer;
  /** Try a PIN also where a wrong one would lock the token. */
  readonly force?: boolean;
  /** Gets one line for each thing worth knowing that is not an error. Public values only. */
  readonly trace?: (line: string) => void;
  /**
   * How long the token may take for one operation, milliseconds; making a key may take ten times as
   * long. Waiting for a person does not count. By default half a minute.
   */
  readonly timeoutMs?: number;
  /** Requests that are under way at once; by default four, as many threads as Node has for them. */
  readonly sessions?: number;
  /** The process's program; by default the one beside this file. */
  readonly program?: string;
}

const TIMEOUT_MS = 30_000;

/** Methods whose work grows with the token's content, or that compute primes, in units of the limit. */
const PATIENCE: Readonly<Record<string, number>> = {
  generate: 10,
  initDevelopmentToken: 10,
  modules: 4,
  keys: 4,
  findKey: 4,
  diagnose: 4,
  audit: 10,
  probeOaep: 4,
};

export class TokenProcess implements TokenService {
  readonly #options: TokenProcessOptions;
  readonly #proven = new Set<string>();
  readonly #faulty = new Map<string, PackedError>();
  /** Tokens that refused a PIN, or may have: no other one is sent in this run. */
  readonly #refused = new Map<string, PackedError>();
  /** Tokens whose PIN was handed over, and which have not answered yet. */
  readonly #trying = new Map<string, TokenInfo["label"]>();
  readonly #queue: (() => void)[] = [];
  readonly #unlocked = new Map<string, { readonly child: Child; readonly found: Unlocked }>();
  #free: number;
  #child: Child | undefined;

  constructor(options: TokenProcessOptions) {
    this.#options = options;
    this.#free = options.sessions ?? 4;
  }

  /** Starts the process ahead of the first request. No module is loaded before that. */
  start(): void {
    this.#current();
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

  findKey(uri: Pkcs11Uri, options: { login?: boolean } = {}): Promise<KeyInfo> {
    return this.#request("findKey", uri, options);
  }

  identity(key: KeyInfo): Identity {
    const unlock = async (): Promise<RsaPrivateKey | EcPrivateKey> => {
      const found = await this.#unlock(key);
      if (found.type === "rsa") {
        return {
          ...found,
          decryptOaep: async (ciphertext: Uint8Array, hash: OaepHash, using?: Using) =>
            secret(await this.#use("decryptOaep", key, [ciphertext, hash], using)),
        };
      }
      return {
        ...found,
        agree: async (peer: Uint8Array, using?: Using) =>
          secret(await this.#use("agree", key, [peer], using)),
      };
    };
    return { publicKey: exchangeHalf(key), name: key.uri, unlock };
  }

  signingIdentity(key: KeyInfo): SigningIdentity {
    const unlock = async () => {
      await this.#use("unlockSigner", key);
      return { sign: (message: Uint8Array) => this.#use<Uint8Array>("sign", key, [message]) };
    };
    return { publicKey: signingHalf(key), name: key.uri, unlock };
  }

  capiKey(key: KeyInfo): CapiIdentity {
    const publicKey = rsaHalf(key);
    const unlock = async (): Promise<CapiPrivateKey> => {
      await this.#use("unlockCapi", key);
      return {
        publicKey,
        decryptPkcs1v15: async (ciphertext, using) =>
          secret(await this.#use("capiDecrypt", key, ["decryptPkcs1v15", ciphertext], using)),
        decryptOaepSha1: async (ciphertext, using) =>
          secret(await this.#use("capiDecrypt", key, ["decryptOaepSha1", ciphertext], using)),
      };
    };
    return { publicKey, name: key.uri, unlock };
  }

  capiSigningKey(key: KeyInfo): CapiSigningIdentity {
    const publicKey = rsaHalf(key);
    const unlock = async (): Promise<CapiSigningKey> => {
      await this.#use("unlockCapiSigner", key);
      return {
        publicKey,
        signPkcs1v15: (payload) => this.#use<Uint8Array>("capiSign", key, [payload]),
      };
    };
    return { publicKey, name: key.uri, unlock };
  }

  generate(info: TokenInfo, request: GenerateRequest): Promise<GeneratedKey> {
    return this.#request("generate", info, request);
  }

  probeOaep(key: KeyInfo): Promise<OaepHash[]> {
    return this.#request("probeOaep", key);
  }

  deleteKey(key: KeyInfo): Promise<void> {
    return this.#request("deleteKey", key);
  }

  audit(uri: Pkcs11Uri = {}): Promise<Finding[]> {
    return this.#request("audit", uri);
  }

  mechanisms(info: TokenInfo): Promise<MechanismInfo[]> {
    return this.#request("mechanisms", info);
  }

  plan(key: KeyInfo, operation?: PlanOperation): Promise<Plan> {
    return this.#request("plan", key, ...(operation === undefined ? [] : [operation]));
  }

  diagnose(uri: Pkcs11Uri = {}): Promise<Diagnosis> {
    return this.#request("diagnose", uri);
  }

  rescan(): Promise<void> {
    this.#unlocked.clear();
    return this.#request("rescan");
  }

  /** As the function of that name; `home`, `env` and both PINs are this object's. */
  initDevelopmentToken(
    options: Pick<DevelopmentTokenOptions, "label" | "module">,
  ): Promise<TokenInfo> {
    return this.#request("initDevelopmentToken", options);
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    await child?.close();
  }

  #request<T>(method: string, ...args: readonly unknown[]): Promise<T> {
    return this.#send({ method, args });
  }

  #use<T>(method: string, key: KeyInfo, args: readonly unknown[] = [], using?: Using): Promise<T> {
    return this.#send({ method, key, args, ...(using === undefined ? {} : { using }) });
  }

  /** Asked once of each process: every use looks whether the login still holds, and logs in if not. */
  async #unlock(key: KeyInfo): Promise<Unlocked> {
    const known = this.#unlocked.get(key.uri);
    if (known !== undefined && known.child === this.#child) return known.found;
    const found = await this.#use<Unlocked>("unlock", key);
    if (this.#child !== undefined) this.#unlocked.set(key.uri, { child: this.#child, found });
    return found;
  }

  /** Sends a request, when it is its turn. */
  async #send<T>(task: Task): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      return (await this.#ask(task)) as T;
    } finally {
      const next = this.#queue.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  async #ask(task: Task): Promise<unknown> {
    const { timeoutMs = TIMEOUT_MS } = this.#options;
    const limitMs = timeoutMs * (PATIENCE[task.method] ?? 1);
    for (;;) {
      const child = this.#current();
      try {
        return await child.request(task, limitMs);
      } catch (error) {
        // A token that was pulled has new handles when it is back, and some modules never notice.
        if (isGone(error)) this.#discard(child);
        // A module that nobody chose stands in nobody's way: the same again, without it.
        if (child.ended?.module === undefined || child.hasAskedForPin) throw error;
      }
    }
  }

  #current(): Child {
    if (this.#child !== undefined && this.#child.ended === undefined) return this.#child;
    const { modules = [], home, env, force = false, trace, program } = this.#options;
    const child: Child = new Child({
      start: {
        ...{ kind: "start", parent: process.pid, modules, home, force },
        traced: trace !== undefined,
        faulty: [...this.#faulty],
      },
      ...{ env, program, proven: this.#proven },
      trace: (line) => trace?.(line),
      askForPin: (request) => this.#pin(request),
      login: (token, refusal) => {
        this.#trying.delete(tokenName(token));
        if (refusal !== undefined && SPENT.has(refusal.code ?? "")) {
          this.#refused.set(tokenName(token), refusal);
        }
      },
      ended: (how) => {
        this.#ended(child, how);
      },
    });
    this.#child = child;
    return child;
  }

  #discard(child: Child): void {
    if (this.#child === child) this.#child = undefined;
    void child.close();
  }

  #ended(child: Child, { module, error }: Ended): void {
    if (this.#child === child) this.#child = undefined;
    if (module !== undefined) this.#faulty.set(module, packError(error));
    // Whether the token had taken the PIN, nobody can tell. Sent twice, a wrong one may lock it.
    for (const [name, label] of this.#trying) {
      const unknown = new TokenError(
        "ERR_PIN_REFUSED",
        `token "${label}" had been given its PIN when its process ended; it is not sent again`,
        { hint: "start anew, when you know that the PIN is right" },
      );
      this.#refused.set(name, packError(unknown));
    }
    this.#trying.clear();
  }

  async #pin(request: PinRequest): Promise<Omit<PinAnswer, "kind" | "id">> {
    const name = tokenName(request.token);
    const refusal = request.kind === "user" ? this.#refused.get(name) : undefined;
    if (refusal !== undefined) return { error: refusal };
    try {
      const pin = await this.#options.pin(request);
      if (request.kind === "user" && !request.fresh) this.#trying.set(name, request.token.label);
      return { pin };
    } catch (error) {
      return { error: packError(error) };
    }
  }
}

type Unlocked =
  | { readonly type: "rsa"; readonly oaepHashes: readonly OaepHash[] }
  | { readonly type: "ec" | "x25519" };

/** Refusals after which the token's counter may have gone down. */
const SPENT: ReadonlySet<string> = new Set(["ERR_PIN_REFUSED", "ERR_PIN_LOCKED", "ERR_PKCS11"]);

function isGone(error: unknown): boolean {
  return error instanceof TokenError && error.code === "ERR_TOKEN_REMOVED";
}

function secret(bytes: Uint8Array | null): Secret | null {
  return bytes === null ? null : new Secret(bytes);
}

function tokenName({ label, serial, model, manufacturer }: PinRequest["token"]): string {
  return JSON.stringify([label, serial, model, manufacturer]);
}
