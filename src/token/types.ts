/**
 * What crosses the border of `src/token`: plain values and promises, never an object of pkcs11js
 * or graphene, never a handle or a slot number. A module can therefore move to a process of its
 * own without a change outside this folder.
 */
import type { CapiIdentity } from "../capi/private-key.js";
import type { CapiSigningIdentity } from "../capi/sign.js";
import type { Identity, OaepHash, PublicKey } from "../keys/key.js";
import type { SigningIdentity } from "../keys/signing.js";
import type { Diagnosis } from "./doctor.js";
import type { Plan, PlanOperation } from "./plan.js";
import type { Pkcs11Uri } from "./uri.js";

/** What the token says of its user PIN's retry counter (PKCS#11 v2.40 §3.2, CK_TOKEN_INFO). */
export type PinState = "ok" | "low" | "final-try" | "locked" | "not-set";

/** A token, found by label, serial, model or manufacturer. */
export interface TokenInfo {
  /** Absolute path of the module it was found through. */
  readonly module: string;
  readonly label: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly pin: PinState;
  /** CKF_PROTECTED_AUTHENTICATION_PATH: the PIN is typed on the reader. */
  readonly pinPad: boolean;
  readonly loginRequired: boolean;
  readonly writeProtected: boolean;
  /** RFC 7512 URI that finds it again. */
  readonly uri: string;
}

/** A module that was looked at. */
export interface ModuleInfo {
  /** Absolute path. */
  readonly path: string;
  /** Where the path came from: `--module`, an environment variable, a `.module` file, … */
  readonly source: string;
  /** What the library says of itself; absent when it could not be loaded. */
  readonly library?: {
    readonly manufacturer: string;
    readonly description: string;
    readonly version: string;
    /** Cryptoki version, as in "2.40". */
    readonly cryptoki: string;
  };
  /** Why it could not be used. */
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

/** What a key may be used for. */
export type KeyUse = "exchange" | "sign";

/** A key pair on a token, as far as it can be seen without a PIN. */
export interface KeyInfo {
  readonly token: TokenInfo;
  readonly label: string;
  /** CKA_ID. */
  readonly id: Uint8Array;
  /** Absent for a private key whose public half is nowhere on the token. */
  readonly publicKey?: PublicKey;
  /** As in "RSA-3072", "P-256", "X25519"; "unknown" where the token does not tell. */
  readonly kind: string;
  /** What the public object allows: ENCRYPT/WRAP/DERIVE → exchange, VERIFY → sign. */
  readonly uses: readonly KeyUse[];
  /** Where the public half was found. */
  readonly seenAs: "public key" | "certificate" | "private key";
  /** RFC 7512 URI that finds exactly this key again. */
  readonly uri: string;
}

/** `x25519` is for exchange only, `ed25519` for signing only. */
export type KeyType =
  "rsa:2048" | "rsa:3072" | "rsa:4096" | "ec:p256" | "ec:p384" | "ec:p521" | "x25519" | "ed25519";

export interface GenerateRequest {
  readonly type: KeyType;
  readonly label: string;
  readonly use: KeyUse;
  /** RSA exchange keys only: DECRYPT beside UNWRAP. The audit names it. */
  readonly allowDecrypt: boolean;
}

export interface GeneratedKey {
  readonly key: KeyInfo;
  /** RSA exchange keys: the OAEP hashes the token proved able to unwrap, best first. */
  readonly oaep?: readonly OaepHash[];
  /** What was asked of the token and not honoured, one sentence each. */
  readonly notHonoured: readonly string[];
}

/** One thing about a key that the key policy (docs/threat-model.md) does not like. */
export interface Finding {
  readonly key: string;
  /** Stable name, as in `extractable`, `wrap-and-decrypt`, `roca`. */
  readonly rule: string;
  readonly severity: "warning" | "danger";
  readonly message: string;
}

/** What a PIN is asked for. */
export interface PinRequest {
  readonly token: Pick<TokenInfo, "label" | "serial" | "model" | "manufacturer" | "pin">;
  readonly kind: "user" | "so";
  /** For a new PIN, a prompt asks twice. */
  readonly fresh: boolean;
}

/** Delivers a PIN or throws a `TokenError`. Called at most once per token and run. */
export type PinProvider = (request: PinRequest) => Promise<string>;

/** Where the process that talks to the token gets a PIN itself, so that no other one ever has it. */
export type PinReference =
  /** A source as `pinFromSource` takes it: `file:PATH` or `cmd:COMMAND`. */
  | { readonly source: string }
  /** Questions at the controlling terminal, answered without echo; all answers must be the same. */
  | { readonly questions: readonly string[] };

/** As `PinProvider`, and may say where the PIN is instead of fetching it. */
export type PinReferrer = (request: PinRequest) => Promise<string | PinReference>;

/** One mechanism of a token (CK_MECHANISM_INFO). */
export interface MechanismInfo {
  /** CK_MECHANISM_TYPE. */
  readonly number: number;
  /** As in `CKM_RSA_PKCS_OAEP`; `CKM_0x…` where no name is known. */
  readonly name: string;
  readonly operations: readonly string[];
  /** In bits or bytes, as the mechanism defines. */
  readonly keySizes: { readonly min: number; readonly max: number };
}

/**
 * What can be done with tokens. Two classes offer it: `TokenAccess`, with the module in this process,
 * and `TokenProcess`, with the module in a process of its own.
 */
export interface TokenService {
  /** Every module that was looked at, in the order of preference. A broken one stops no other. */
  modules(): Promise<ModuleInfo[]>;
  /** Every initialized token present. One that two modules show is listed once. */
  tokens(): Promise<TokenInfo[]>;
  /**
   * Exactly one token.
   *
   * @throws TokenError `ERR_TOKEN_NOT_FOUND`, `ERR_TOKEN_NOT_UNIQUE`; when none is found and a module
   * that the user named is broken, that module's error.
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
   * What can reach the private key. Nothing happens until `unlock`, which logs in.
   *
   * @throws TokenError `ERR_PUBLIC_KEY_MISSING`, UnsupportedError `ERR_SIGN_ONLY`.
   */
  identity(key: KeyInfo): Identity;
  /**
   * What can reach a private signing key. Nothing happens until `unlock`, which logs in.
   *
   * @throws TokenError `ERR_PUBLIC_KEY_MISSING`; UnsupportedError `ERR_SIGNING_KEY`.
   */
  signingIdentity(key: KeyInfo): SigningIdentity;
  /**
   * What can reach the private half of a CryptoAPI exchange key. Nothing happens until `unlock`.
   *
   * @throws TokenError `ERR_PUBLIC_KEY_MISSING`; UnsupportedError `ERR_KEY_TYPE`: not an RSA key.
   */
  capiKey(key: KeyInfo): CapiIdentity;
  /** What can reach the private half of a CryptoAPI signature key. Throws as `capiKey`. */
  capiSigningKey(key: KeyInfo): CapiSigningIdentity;
  /**
   * A new key pair under the key policy, tried out before it is announced.
   *
   * @throws UsageError `ERR_KEY_LABEL`, `ERR_ALLOW_DECRYPT`; TokenError, `ERR_KEY_UNUSABLE` when the
   * token can't use what it made (it's destroyed again).
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
   * Holds keys against the key policy; logs in to every token that shows a key, or that `uri` names.
   * Public halves whose private key is elsewhere are left out.
   */
  audit(uri?: Pkcs11Uri): Promise<Finding[]>;
  /** What a token can do, by name. */
  mechanisms(info: TokenInfo): Promise<MechanismInfo[]>;
  /**
   * The ways there are to use a key, in order, and why. No PIN: what only the private key shows, and it
   * does not show itself, is assumed, and the plan says so. To open by default, or, for keys that can
   * do nothing else, to sign.
   */
  plan(key: KeyInfo, operation?: PlanOperation): Promise<Plan>;
  /** What can be said of modules, tokens and keys without a PIN, as values that JSON can carry. */
  diagnose(uri?: Pkcs11Uri): Promise<Diagnosis>;
  /** Ends logins, and starts modules anew when next needed: some see a new token only then. */
  rescan(): Promise<void>;
  /** Ends logins and modules; waits for operations that run. */
  close(): Promise<void>;
}
