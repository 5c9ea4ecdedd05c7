/**
 * The interface to tokens. It takes and returns plain values only, so that modules can be loaded in
 * another process without a change outside this folder.
 */
import type { Identity, OaepHash, OaepParameters, PublicKey } from "../keys/key.js";
import type { Purpose, PurposeKeys } from "../keys/purpose.js";
import type { Diagnosis } from "./diagnosis.js";
import type { Pkcs11Uri } from "./uri.js";
import type { Plan, PlanOperation } from "./use/plan.js";
import type {
  ErrorReport,
  Finding,
  GeneratedKey,
  GenerateRequest,
  KeyInfo,
  MechanismInfo,
  ModuleInfo,
  PinPolicy,
  StoredCertificate,
  TokenInfo,
  Trouble,
  WithOthers,
} from "./values.js";

export interface DeleteOptions {
  /** Destroy the key's certificates too, also where they are all that is left of it. */
  readonly certificates?: boolean | undefined;
}

/**
 * Operations on tokens. `TokenAccess` implements them with the modules in this process,
 * `TokenClient` through a connection, and `TokenProcess` with the modules in a process of their
 * own.
 */
export interface TokenService {
  /**
   * Every module that was tried, in the order of preference. A broken one does not stop the others.
   */
  modules(): Promise<ModuleInfo[]>;
  /** Every initialized token present. A token that two modules show is listed once. */
  tokens(): Promise<TokenInfo[]>;
  /**
   * The one token that matches.
   *
   * @throws TokenError `ERR_TOKEN_NOT_FOUND`, `ERR_TOKEN_NOT_UNIQUE`; the error of a module that
   * the user named, if it is broken and no token is found.
   */
  findToken(uri: Pkcs11Uri): Promise<TokenInfo>;
  /** The key pairs that match and are visible without a PIN. */
  keys(uri?: Pkcs11Uri): Promise<KeyInfo[]>;
  /**
   * What may hide tokens that match, or their keys: modules, slots and tokens that can't be read.
   *
   * @param depth - `tokens`: modules and slots alone; no session is opened
   */
  troubles(uri?: Pkcs11Uri, depth?: "tokens" | "keys"): Promise<Trouble[]>;
  /**
   * The one key pair that matches, among those that show now.
   *
   * @throws TokenError `ERR_KEY_NOT_FOUND`, `ERR_KEY_NOT_UNIQUE`, and as `findToken`.
   */
  findKey(uri: Pkcs11Uri): Promise<KeyInfo>;
  /** As `findKey`, but the same key may be on several tokens: any of them will do. */
  findCopies(uri: Pkcs11Uri): Promise<[KeyInfo, ...KeyInfo[]]>;
  /**
   * Logs in to the one token that matches. What it hid until then shows from now on.
   *
   * @throws TokenError as `findToken`, `ERR_PIN_…`
   */
  logIn(uri: Pkcs11Uri): Promise<void>;
  /** True while an earlier login lasts. It ends when the token is pulled, also if it is back. */
  isLoggedIn(token: TokenInfo): Promise<boolean>;
  /** Why a login would fail before a PIN is asked for or sent; undefined: nothing is known. */
  obstacle(token: TokenInfo): Promise<ErrorReport | undefined>;
  /** What the token says about its PINs now. It needs none. */
  pinPolicy(token: TokenInfo): Promise<PinPolicy>;
  /**
   * Changes the user PIN: asks for the old one, then for the new one (`fresh`), and sends both
   * once. A login ends.
   *
   * @throws TokenError `ERR_PIN_…`; `ERR_NEW_PIN_REFUSED`, `ERR_PIN_UNCHANGED`: nothing was changed
   */
  changePin(token: TokenInfo): Promise<void>;
  /**
   * Sets a new user PIN: asks for the security officer's, then for the new one. A login ends.
   *
   * @throws TokenError as `changePin`; `ERR_PIN_UNBLOCK` where the token has no security officer
   */
  unblockPin(token: TokenInfo): Promise<void>;
  /**
   * Supplies the public half of a key that shows none: one of `candidates`, or of an RSA key its
   * modulus with the usual exponent. The one that fits is found by using the private key, so this
   * logs in. Undefined if none fits.
   */
  withPublicHalf(key: KeyInfo, candidates: readonly PublicKey[]): Promise<KeyInfo | undefined>;
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
   * Generates a key pair under the key policy, and tests it before returning.
   *
   * @throws UsageError `ERR_KEY_LABEL`, `ERR_ALLOW_DECRYPT`; TokenError as `generatePair`, and
   * `ERR_KEY_UNUSABLE` when the token can't use the key that it made, which is destroyed then.
   */
  generate(info: TokenInfo, request: GenerateRequest): Promise<GeneratedKey>;
  /**
   * The OAEP hashes that the token can decrypt with the key, best first. Logs in and tests each.
   */
  probeOaep(key: KeyInfo): Promise<OaepHash[]>;
  /**
   * Stores a certificate (DER) beside its key. Logs in.
   *
   * @param withOthers - if the key has another certificate: `refuse` (the default), `keep` it, as
   *   messages that name it are to be opened, or `replace` it
   * @throws FormatError `ERR_CERTIFICATE`; TokenError `ERR_CERTIFICATE_MISMATCH`: it is another
   *   key's; `ERR_CERTIFICATE_EXISTS`; `ERR_CERTIFICATE_LOST`: the token took it and does not show
   *   it; the error of a token that stores none
   */
  storeCertificate(
    key: KeyInfo,
    certificate: Uint8Array,
    withOthers?: WithOthers,
  ): Promise<StoredCertificate>;
  /**
   * Destroys both halves of a key pair, or a lone public half; its certificates are kept, unless
   * the options say otherwise.
   *
   * @throws TokenError `ERR_KEY_NOT_FOUND`, `ERR_KEY_NOT_UNIQUE`; nothing is destroyed then.
   */
  deleteKey(key: KeyInfo, options?: DeleteOptions): Promise<void>;
  /**
   * Checks keys against the key policy. Logs in to every token that shows a key or that `uri`
   * names. Public halves whose private key is elsewhere are skipped.
   */
  audit(uri?: Pkcs11Uri): Promise<Finding[]>;
  /** The mechanisms of a token, by name. */
  mechanisms(info: TokenInfo): Promise<MechanismInfo[]>;
  /**
   * The ways to use a key, in the order in which they are tried, with reasons. It needs no PIN:
   * attributes that only a hidden private key would show are assumed, and the plan says so. By
   * default it is a plan to open messages or, for keys that can only sign, to sign.
   *
   * @param oaep - for opening: how OAEP was applied; by default with an empty label and the same
   *   hash for MGF1
   */
  plan(key: KeyInfo, operation?: PlanOperation, oaep?: OaepParameters): Promise<Plan>;
  /** What modules, tokens and keys reveal without a PIN, as values that JSON can represent. */
  diagnose(uri?: Pkcs11Uri): Promise<Diagnosis>;
  /** Ends logins and restarts modules when next needed: some see new tokens only then. */
  rescan(): Promise<void>;
  /** Ends logins and finalizes modules, after running operations have finished. */
  close(): Promise<void>;
}
