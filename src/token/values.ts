/**
 * The plain values that `src/token` takes and returns: never an object of pkcs11js or graphene, a
 * handle or a slot number. They can be sent to another process.
 */
import type { RequestedNames } from "../keys/certificate-request.js";
import type { OaepHash, SinglePublicKey } from "../keys/key.js";
import type { Place } from "../terminal/person.js";

/**
 * State of the user PIN's retry counter (PKCS#11 v2.40 §3.2, CK_TOKEN_INFO). `not-set`: the token
 * doesn't say that there is a PIN; there may be one.
 */
export type PinState = "ok" | "low" | "final-try" | "locked" | "not-set";

/** A token, identified by label, serial number, model and manufacturer. */
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
  /** An RFC 7512 URI that finds it again. */
  readonly uri: string;
}

/** A module that was tried. */
export interface ModuleInfo {
  /** Absolute path. */
  readonly path: string;
  /** Where the path came from: `--module`, an environment variable, a `.module` file, … */
  readonly source: string;
  /** The user named it, so that a fault in it is one of the command. */
  readonly named: boolean;
  /** The library's description of itself; absent when it could not be loaded. */
  readonly library?: {
    readonly manufacturer: string;
    readonly description: string;
    readonly version: string;
    /** Cryptoki version, as in "2.40". */
    readonly cryptoki: string;
  };
  /** Why it could not be used. */
  readonly error?: ErrorReport;
}

/** An error as plain values. */
export interface ErrorReport {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** A fault that may hide a token or its keys. */
export interface Trouble {
  /**
   * A module that can't be used, a slot whose token it can't read, a token whose keys it can't; or
   * a configuration with tokens that the module does not look at.
   */
  readonly at: "module" | "slot" | "token" | "configuration";
  /** As messages name it, as in `token "alice"`. */
  readonly name: string;
  /** The module's path. */
  readonly module: string;
  /** The user named the module. */
  readonly isNamed: boolean;
  readonly error: ErrorReport;
}

/** What a key may be used for. */
export type KeyUse = "exchange" | "sign";

/** The kinds of object that a key pair consists of. */
export type ObjectClass = "public key" | "certificate" | "private key";

/** What an object of a key pair is called. */
export interface ObjectName {
  readonly class: ObjectClass;
  /** CKA_LABEL. */
  readonly label: string;
  /** CKA_ID. */
  readonly id: Uint8Array;
}

/** A key pair on a token, as far as it is visible without a PIN. */
export interface KeyInfo {
  readonly token: TokenInfo;
  readonly label: string;
  /** CKA_ID. */
  readonly id: Uint8Array;
  /** Absent for a private key whose public half is not on the token. */
  readonly publicKey?: SinglePublicKey;
  /** As in "RSA-3072", "P-256", "X25519"; "unknown" where the token does not say. */
  readonly kind: string;
  /**
   * The uses that the public object allows: ENCRYPT, WRAP or DERIVE → exchange; VERIFY → sign.
   */
  readonly uses: readonly KeyUse[];
  /** Where the public half was found. */
  readonly seenAs: ObjectClass;
  /** Certificates of the key that are on the token, DER, as they came. */
  readonly certificates: readonly Uint8Array[];
  /** The pair's objects that are visible: a URI may name any of them. */
  readonly objects: readonly ObjectName[];
  /** An RFC 7512 URI that finds exactly this key again. */
  readonly uri: string;
}

/** `x25519` is for exchange only, `ed25519` for signing only. */
export type KeyType =
  "rsa:2048" | "rsa:3072" | "rsa:4096" | "ec:p256" | "ec:p384" | "ec:p521" | "x25519" | "ed25519";

export interface GenerateRequest {
  readonly type: KeyType;
  readonly label: string;
  readonly use: KeyUse;
  /** RSA exchange keys only: allow DECRYPT besides UNWRAP. The audit reports it. */
  readonly allowDecrypt: boolean;
  /** Whom to ask a certificate for. An exchange key signs its request and nothing else. */
  readonly certificateFor?: RequestedNames;
}

export interface GeneratedKey {
  readonly key: KeyInfo;
  /** RSA exchange keys: the OAEP hashes that the token has shown to unwrap, best first. */
  readonly oaep?: readonly OaepHash[];
  /** The request for its certificate, DER (RFC 2986); if it was asked for. */
  readonly certificateRequest?: Uint8Array;
  /** The requests that the token did not honour, one sentence each. */
  readonly notHonoured: readonly string[];
}

/** What became of a certificate that was to be stored beside its key. */
export type StoredCertificate =
  /** It was there already. */
  | { readonly done: "nothing" }
  | { readonly done: "added" }
  /** Instead of this many others. */
  | { readonly done: "replaced"; readonly others: number };

/** A violation of the key policy (docs/threat-model.md) by a key. */
export interface Finding {
  readonly key: string;
  /** Stable name, as in `extractable`, `wrap-and-decrypt`, `roca`. */
  readonly rule: string;
  readonly severity: "warning" | "danger";
  readonly message: string;
}

/** Whose PIN: the user's, or the security officer's. */
export type PinOwner = "user" | "so";

/** A request for a PIN. */
export interface PinRequest {
  readonly token: Pick<TokenInfo, "label" | "serial" | "model" | "manufacturer" | "pin">;
  readonly kind: PinOwner;
  /** True for a new PIN, which a prompt should ask for twice. */
  readonly fresh: boolean;
}

/** A PIN that a person types on the token's reader. */
export interface PadRequest {
  readonly token: PinRequest["token"];
  /** Whose PIN is typed first. */
  readonly kind: PinOwner;
  /**
   * `use`: for one use of a key that requires the PIN each time; `change`: the old PIN and then a
   * new one; `set`: a new one.
   */
  readonly what: "login" | "use" | "change" | "set";
}

/** Tells a person to type a PIN on the reader, and runs `work`, which waits for that. */
export type AtPad = <T>(request: PadRequest, work: () => Promise<T>) => Promise<T>;

/** Returns a PIN or throws a `TokenError`. Called at most once per token and run. */
export type PinProvider = (request: PinRequest) => Promise<string>;

/** A PIN from a person, who may have mistyped it. */
export interface TypedPin {
  readonly typed: string;
  /** Asks for another. `why` is a fact, lower case. Throws as a provider does. */
  readonly again: (why: string) => Promise<string>;
}

/** As `PinProvider`, but may tell that a person can be asked again. */
export type PinAsker = (request: PinRequest) => Promise<string | TypedPin>;

/** Where the process with the module fetches a PIN itself, so that no other process has it. */
export type PinReference =
  /** A source as `pinFromSource` takes it: `file:PATH` or `cmd:COMMAND`. */
  { readonly source: string } | AskedPerson;

/** Questions to a person, answered without echo; all answers must be the same. */
export interface AskedPerson {
  readonly questions: readonly string[];
  /** Where the person is reached; by default at the controlling terminal. */
  readonly place?: Place | undefined;
  /** Lines that come before the questions. */
  readonly about?: string | undefined;
  /** How long the person may take; by default as long as it takes, with pinentry 5 minutes. */
  readonly answerMs?: number | undefined;
  /** Withdraws the questions, which then fail with `ERR_PIN_MISSING`. */
  readonly signal?: AbortSignal | undefined;
}

/** As `PinProvider`, but may return where the PIN is found instead. */
export type PinReferrer = (request: PinRequest) => Promise<string | PinReference>;

/** What a token says about its PINs (CK_TOKEN_INFO). */
export interface PinPolicy {
  /** Length of a user PIN in bytes; absent when the token does not say. */
  readonly length?: { readonly min: number; readonly max: number };
  readonly user: PinState;
  readonly securityOfficer: PinState;
  /** The user PIN is the one that the token came with, or has expired. */
  readonly toBeChanged: boolean;
  /** PINs are typed on the reader. */
  readonly pinPad: boolean;
}

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

/** What to do where the key has another certificate: say so, keep it, or destroy it. */
export type WithOthers = "refuse" | "keep" | "replace";
