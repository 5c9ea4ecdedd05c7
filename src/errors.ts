/**
 * Every error that a caller can get.
 *
 * An error class exists only if a caller would react to it differently. `code` identifies the case
 * and never changes its meaning. `message` states a fact: lower case, no full stop, with the
 * offending public value. `hint` is advice for a person. Neither ever contains a PIN, a key,
 * plaintext or a line of a key file. Each class states its name, which a bundler may shorten.
 */
import { defined } from "./defined.js";

/**
 * The base class. The CLI's exit status, and a library caller's reaction, depend on the subclass.
 */
export abstract class P11SealError extends Error {
  /** Stable, machine-readable: `ERR_…`. */
  readonly code: string;
  /** One sentence of advice for a person at a terminal. */
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }

  /** The same error, which begins with where it was found, as in `friends.txt:3: …`. */
  at(where: string): this {
    const Kind = this.constructor as new (code: string, message: string, rest: object) => this;
    const { code, message, cause } = this;
    const rest = defined({ ...Object.fromEntries(Object.entries(this)), cause });
    return new Kind(code, `${where}: ${message}`, rest);
  }
}

/** A command line or a library call that can't be carried out as given. Exit status 2. */
export class UsageError extends P11SealError {
  override readonly name = "UsageError";
}

/** The bytes are not a valid message, key or URI. Exit status 1. */
export class FormatError extends P11SealError {
  override readonly name = "FormatError";
}

/** Well formed, but not something this version can process. Exit status 1. */
export class UnsupportedError extends P11SealError {
  override readonly name = "UnsupportedError";
}

/** Reading or writing a file failed, or an output would be lost. Exit status 1. */
export class FileError extends P11SealError {
  override readonly name = "FileError";
}

/** No identity matches a recipient of the message. Exit status 3. */
export class NoMatchError extends P11SealError {
  override readonly name = "NoMatchError";
}

/** A message that is not authentic: altered, cut off, or sealed with another key. Exit status 4. */
export class AuthenticationError extends P11SealError {
  override readonly name = "AuthenticationError";
}

/** A module, token, key on a token or PIN is missing or refused. Exit status 5. */
export class TokenError extends P11SealError {
  override readonly name = "TokenError";
  /** The PKCS#11 function that failed, such as `C_UnwrapKey`. */
  readonly fn: string | undefined;
  /** The name of its return value, such as `CKR_PIN_INCORRECT`. */
  readonly ckr: string | undefined;

  constructor(
    code: string,
    message: string,
    options: { hint?: string; cause?: unknown; fn?: string; ckr?: string } = {},
  ) {
    super(code, message, options);
    this.fn = options.fn;
    this.ckr = options.ckr;
  }
}

/** The format allows it, but policy refuses it. Exit status 6. */
export class PolicyError extends P11SealError {
  override readonly name = "PolicyError";
}

/** The caller's own signal ended a call of the library. `cause` is the signal's reason. */
export class AbortedError extends P11SealError {
  override readonly name = "AbortedError";
}

/** The user pressed Ctrl-C at a prompt. Not a failure: only the exit status, 130, reports it. */
export class Cancelled extends Error {}
