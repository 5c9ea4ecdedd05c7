import { returnValue } from "../ckr.js";

/** A return value that is not CKR_OK: its number in `code` and its name, as in pkcs11js' errors. */
export class ReturnValueError extends Error {
  readonly code: number;

  constructor(fn: string, code: number) {
    super(`${fn}: ${returnValue(code).name}`);
    this.name = "ReturnValueError";
    this.code = code;
  }
}

/**
 * The return values that are made here, as a module lies about a length, or lacks a function; and
 * the one that means that there is nothing.
 */
export const CKR = {
  NO_EVENT: 0x08,
  GENERAL_ERROR: 0x05,
  FUNCTION_NOT_SUPPORTED: 0x54,
} as const;
