/**
 * The keys on tokens that identities reach. Modules are loaded in this process: it is one of its
 * own already, and age reports when it crashes. Nothing is loaded before a stanza asks for it.
 */
import { TokenError } from "../errors.js";
import type { ExchangePublicKey, Identity, PrivateKey } from "../keys/key.js";
import type { TokenService } from "../token/service.js";
import type { KeyInfo } from "../token/values.js";
import type { PluginIdentity } from "./plugin-identity.js";

/** What is asked of tokens. */
export type Tokens = Pick<
  TokenService,
  "keys" | "tokens" | "findToken" | "findCopies" | "identity" | "close"
>;

export interface ReachedKey {
  readonly publicKey: ExchangePublicKey;
  /** Unlocks it, once. */
  readonly unlock: () => Promise<PrivateKey>;
}

/** The keys that one identity reaches; found once. */
export class KeysOfIdentity {
  readonly #identity: PluginIdentity;
  readonly #tokens: Tokens;
  #keys: Promise<readonly ReachedKey[]> | undefined;

  constructor(identity: PluginIdentity, tokens: Tokens) {
    this.#identity = identity;
    this.#tokens = tokens;
  }

  /** The identity names its key, which may then be tried without knowing that it will do. */
  get isNamed(): boolean {
    return this.#identity.uri !== undefined;
  }

  /** @throws P11SealError why none is there */
  find(): Promise<readonly ReachedKey[]> {
    this.#keys ??= this.#find();
    return this.#keys;
  }

  async #find(): Promise<readonly ReachedKey[]> {
    const { uri } = this.#identity;
    const found = uri === undefined ? await this.#all() : await this.#named(uri);
    return found.map((key) => reached(this.#tokens.identity(key)));
  }

  async #all(): Promise<KeyInfo[]> {
    const keys = await this.#tokens.keys();
    // Throws the reason why there is no token.
    if (keys.length === 0 && (await this.#tokens.tokens()).length === 0) {
      await this.#tokens.findToken({});
    }
    return keys.filter(({ publicKey }) => publicKey !== undefined && publicKey.type !== "ed25519");
  }

  async #named(uri: NonNullable<PluginIdentity["uri"]>): Promise<KeyInfo[]> {
    const { moduleName } = this.#identity;
    const keys = await this.#copies(uri, moduleName);
    if (keys.every(({ publicKey }) => publicKey !== undefined)) return keys;
    const [key] = keys;
    throw new TokenError("ERR_PUBLIC_KEY_MISSING", `${key?.uri ?? ""} shows no public half`, {
      hint: "without it no file is known to be for the key; p11seal open --public FILE opens it",
    });
  }

  /** The module that the key was seen through may have got another name. */
  async #copies(
    uri: NonNullable<PluginIdentity["uri"]>,
    moduleName: string | undefined,
  ): Promise<KeyInfo[]> {
    if (moduleName === undefined) return this.#tokens.findCopies(uri);
    try {
      return await this.#tokens.findCopies({ ...uri, moduleName });
    } catch (error) {
      if (!isAbsence(error)) throw error;
      return this.#tokens.findCopies(uri);
    }
  }
}

function reached(identity: Identity<ExchangePublicKey>): ReachedKey {
  let unlocked: Promise<PrivateKey> | undefined;
  return { publicKey: identity.publicKey, unlock: () => (unlocked ??= identity.unlock()) };
}

/** The key may yet be elsewhere. */
function isAbsence(error: unknown): boolean {
  return (
    error instanceof TokenError &&
    (error.code === "ERR_TOKEN_NOT_FOUND" || error.code === "ERR_KEY_NOT_FOUND")
  );
}
