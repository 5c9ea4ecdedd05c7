/**
 * Calls into a module, and what their failures mean.
 *
 * pkcs11js names the return value but often loses the function; `call` puts both into one
 * `TokenError`. `dependsOnCiphertext` draws the line between faults of the token, which are told, and
 * faults that may have come from what the sender sent, which are all the same `null` one level up.
 */
import { TokenError } from "../../errors.js";
import { returnValue } from "./ckr.js";

/** Runs one function of PKCS#11. @throws TokenError with `fn` and `ckr`. */
export function call<T>(fn: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw failure(fn, error);
  }
}

/** The same for the promise forms. */
export async function callAsync<T>(fn: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw failure(fn, error);
  }
}

/** True when `error` is a TokenError with one of these return values. */
export function failedWith(error: unknown, ...names: readonly string[]): error is TokenError {
  return error instanceof TokenError && error.ckr !== undefined && names.includes(error.ckr);
}

/** The token refuses the template, not what is wrapped: another template may do. */
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
 * True when the failure may have been caused by the ciphertext or the peer's point. The list is of
 * what surely was not: modules answer a bad padding with anything from CKR_GENERAL_ERROR to
 * CKR_ARGUMENTS_BAD (docs/tokens.md), so the unknown counts as the ciphertext's fault.
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

/** pkcs11js's errors as ours; anything that is not a return value is a fault of the program. */
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
 * The CK_RV in an error of pkcs11js: in `code`, or, where it throws a plain Error, in the message, as
 * in "CKR_ATTRIBUTE_READ_ONLY:16". Values above 32 bits lose precision, which no known one needs.
 */
function returnCode(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === "number" && code > 0) return code;
  const match = /^CKR_\w+:(\d+)/.exec(typeof message === "string" ? message : "");
  return match === null ? undefined : Number(match[1]);
}
