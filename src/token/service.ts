/**
 * What can be asked of tokens: plain values in, plain values and promises out, so that the module
 * can be loaded in another process without a change outside this folder.
 */
import type { Identity, OaepHash } from "../keys/key.js";
import type { Purpose, PurposeKeys } from "../keys/purpose.js";
import type { Diagnosis } from "./diagnosis.js";
import type { Pkcs11Uri } from "./uri.js";
import type { Plan, PlanOperation } from "./use/plan.js";
import type {
  Finding,
  GeneratedKey,
  GenerateRequest,
  KeyInfo,
  MechanismInfo,
  ModuleInfo,
  TokenInfo,
} from "./values.js";

/**
 * What can be done with tokens. Two classes offer it: `TokenAccess`, with the module in this
 * process, and `TokenProcess`, with the module in a process of its own.
 */
export interface TokenService {
  /** Every module that was looked at, in the order of preference. A broken one stops no other. */
  modules(): Promise<ModuleInfo[]>;
  /** Every initialized token present. One that two modules show is listed once. */
  tokens(): Promise<TokenInfo[]>;
  /**
   * Exactly one token.
   *
   * @throws TokenError `ERR_TOKEN_NOT_FOUND`, `ERR_TOKEN_NOT_UNIQUE`; when none is found and a
   *   module that the user named is broken, that module's error.
   */
  findToken(uri: Pkcs11Uri): Promise<TokenInfo>;
  /** Key pairs that match, as far as they can be seen without a PIN. */
  keys(uri?: Pkcs11Uri): Promise<KeyInfo[]>;
  /**
   * Exactly one key pair. With `login`, private keys without a public half are seen too.
   *
   * @throws TokenError `ERR_KEY_NOT_FOUND`, `ERR_KEY_NOT_UNIQUE`, and as `findToken`.
   */
  findKey(uri: Pkcs11Uri, options?: { login?: boolean }): Promise<KeyInfo>;
  /**
   * What can reach the private key, for `purpose`; by default to open messages. Nothing happens
   * until `unlock`, which logs in, and refuses a key that can't serve (TokenError `ERR_MECHANISM`),
   * before a PIN is asked for where that shows.
   *
   * @throws TokenError `ERR_PUBLIC_KEY_MISSING`; UnsupportedError `ERR_SIGN_ONLY`,
   *   `ERR_SIGNING_KEY`, `ERR_KEY_TYPE`: the key is of a kind that can't serve.
   */
  identity<P extends Purpose = "open">(key: KeyInfo, purpose?: P): Identity<PurposeKeys[P]>;
  /**
   * A new key pair under the key policy, tried out before it is announced.
   *
   * @throws UsageError `ERR_KEY_LABEL`, `ERR_ALLOW_DECRYPT`; TokenError, `ERR_KEY_UNUSABLE` when
   *   the token can't use what it made (it's destroyed again).
   */
  generate(info: TokenInfo, request: GenerateRequest): Promise<GeneratedKey>;
  /** The OAEP hashes that the key's token really undoes, best first. Logs in and tries each. */
  probeOaep(key: KeyInfo): Promise<OaepHash[]>;
  /**
   * Destroys both halves of a key pair; a public half alone too. Certificates stay.
   *
   * @throws TokenError `ERR_KEY_NOT_FOUND`, `ERR_KEY_NOT_UNIQUE`; nothing is destroyed then.
   */
  deleteKey(key: KeyInfo): Promise<void>;
  /**
   * Holds keys against the key policy; logs in to every token that shows a key, or that `uri`
   * names. Public halves whose private key is elsewhere are left out.
   */
  audit(uri?: Pkcs11Uri): Promise<Finding[]>;
  /** What a token can do, by name. */
  mechanisms(info: TokenInfo): Promise<MechanismInfo[]>;
  /**
   * The ways there are to use a key, in order, and why. No PIN: what only the private key shows,
   * and it does not show itself, is assumed, and the plan says so. To open by default, or, for keys
   * that can do nothing else, to sign.
   */
  plan(key: KeyInfo, operation?: PlanOperation): Promise<Plan>;
  /** What can be said of modules, tokens and keys without a PIN, as values that JSON can carry. */
  diagnose(uri?: Pkcs11Uri): Promise<Diagnosis>;
  /** Ends logins, and starts modules anew when next needed: some see a new token only then. */
  rescan(): Promise<void>;
  /** Ends logins and modules; waits for operations that run. */
  close(): Promise<void>;
}
