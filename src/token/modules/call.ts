/**
 * Calls into a module and the meaning of their failures.
 *
 * pkcs11js names the return value but often loses the function; `call` puts both into one
 * `TokenError`. `dependsOnCiphertext` separates faults of the token, which are reported, from
 * faults that the sender's data may have caused, which callers turn into one and the same `null`.
 */
import { defined } from "../../defined.js";
import { type P11SealError, TokenError } from "../../errors.js";
import type { ErrorReport } from "../values.js";
import { returnValue } from "./ckr.js";

/** Runs one PKCS#11 function. @throws TokenError with `fn` and `ckr`. */
export function call<T>(fn: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw failure(fn, error);
  }
}

/** As `call`, for pkcs11js's promise forms. */
export async function callAsync<T>(fn: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw failure(fn, error);
  }
}

/** An error as plain values. */
export function errorReport({ code, message, hint }: P11SealError): ErrorReport {
  return { code, message, ...defined({ hint }) };
}

/** True when `error` is a TokenError with one of these return values. */
export function failedWith(error: unknown, ...names: readonly string[]): error is TokenError {
  return error instanceof TokenError && error.ckr !== undefined && names.includes(error.ckr);
}

/** The function and return value of `error`, for the options of another error made from it. */
export function origin(error: TokenError | undefined): { fn?: string; ckr?: string } {
  return defined({ fn: error?.fn, ckr: error?.ckr });
}

/**
 * True when the token rejected the template rather than the wrapped key: another may be accepted.
 */
export function refusesTemplate(error: unknown): error is TokenError {
  return failedWith(
    error,
    "CKR_ATTRIBUTE_READ_ONLY",
    "CKR_ATTRIBUTE_TYPE_INVALID",
    "CKR_ATTRIBUTE_VALUE_INVALID",
    "CKR_TEMPLATE_INCOMPLETE",
    "CKR_TEMPLATE_INCONSISTENT",
  );
}

/**
 * True when the ciphertext or the peer's point may have caused the failure. `TOKEN_FAULTS` lists
 * the return values that they cannot cause. Modules answer bad padding with anything from
 * CKR_GENERAL_ERROR to CKR_ARGUMENTS_BAD (docs/tokens.md), so every other value counts as the
 * ciphertext's fault.
 */
export function dependsOnCiphertext(error: unknown): error is TokenError {
  if (!(error instanceof TokenError) || error.ckr === undefined) return false;
  return !TOKEN_FAULTS.has(error.ckr);
}

const TOKEN_FAULTS: ReadonlySet<string> = new Set([
  "CKR_HOST_MEMORY",
  "CKR_SLOT_ID_INVALID",
  "CKR_DEVICE_MEMORY",
  "CKR_DEVICE_REMOVED",
  "CKR_FUNCTION_CANCELED",
  "CKR_KEY_HANDLE_INVALID",
  "CKR_OBJECT_HANDLE_INVALID",
  "CKR_UNWRAPPING_KEY_HANDLE_INVALID",
  "CKR_WRAPPING_KEY_HANDLE_INVALID",
  "CKR_OPERATION_ACTIVE",
  "CKR_SESSION_CLOSED",
  "CKR_SESSION_COUNT",
  "CKR_SESSION_HANDLE_INVALID",
  "CKR_TOKEN_NOT_PRESENT",
  "CKR_TOKEN_NOT_RECOGNIZED",
  "CKR_USER_NOT_LOGGED_IN",
  "CKR_USER_PIN_NOT_INITIALIZED",
  "CKR_USER_ANOTHER_ALREADY_LOGGED_IN",
  "CKR_PIN_INCORRECT",
  "CKR_PIN_INVALID",
  "CKR_PIN_LEN_RANGE",
  "CKR_PIN_LOCKED",
  "CKR_PIN_EXPIRED",
  "CKR_CRYPTOKI_NOT_INITIALIZED",
  "CKR_FUNCTION_REJECTED",
  "CKR_TOKEN_RESOURCE_EXCEEDED",
  "CKR_KEY_EXHAUSTED",
]);

const REMOVED: ReadonlySet<string> = new Set([
  "CKR_DEVICE_REMOVED",
  "CKR_TOKEN_NOT_PRESENT",
  "CKR_SESSION_HANDLE_INVALID",
  "CKR_SLOT_ID_INVALID",
]);

/**
 * Converts an error of pkcs11js; one without a return value is a programming error and is returned
 * as is.
 */
function failure(fn: string, error: unknown): unknown {
  const code = returnCode(error);
  if (code === undefined) return error;
  const { name, sentence, hint } = returnValue(code);
  const ours = REMOVED.has(name)
    ? "ERR_TOKEN_REMOVED"
    : name === "CKR_MECHANISM_INVALID"
      ? "ERR_MECHANISM"
      : "ERR_PKCS11";
  return new TokenError(ours, `${fn}: ${sentence} (${name})`, {
    fn,
    ckr: name,
    hint,
  });
}

/**
 * The CK_RV in an error of pkcs11js: in `code` or, when it throws a plain Error, in the message, as
 * in "CKR_ATTRIBUTE_READ_ONLY:16". Values above 32 bits lose precision, but no known value is that
 * large.
 */
function returnCode(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "number" && code > 0) return code;
  const match = /^CKR_\w+:(\d+)/.exec(typeof message === "string" ? message : "");
  return match === null ? undefined : Number(match[1]);
}
