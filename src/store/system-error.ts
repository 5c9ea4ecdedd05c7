/**
 * What the operating system says of a file, in words and with its name for it, as in ENOSPC.
 */
import { getSystemErrorMap } from "node:util";
import { defined } from "../defined.js";
import { FileError, P11SealError } from "../errors.js";

/** The `code` of one of Node's errors. No `instanceof`: under jest it comes from another realm. */
export function errno(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** No room on the disk, or none of the user's share of it. */
export function isDiskFull(error: unknown): boolean {
  return errno(error) === "ENOSPC" || errno(error) === "EDQUOT";
}

/** True for what a failed call throws; false for our own errors, and for a program's mistake. */
export function isOfSystem(error: unknown): boolean {
  return errno(error) !== undefined && !(error instanceof P11SealError);
}

/** A `FileError` for a failed call: `cannot write "out": no space left on device (ENOSPC)`. */
export function fileError(
  code: "ERR_READ" | "ERR_WRITE",
  name: string,
  error: unknown,
  hint?: string,
): FileError {
  const verb = code === "ERR_READ" ? "read" : "write";
  const options = { cause: error, ...defined({ hint }) };
  return new FileError(code, `cannot ${verb} ${quoted(name)}: ${reason(error)}`, options);
}

/** A file's name as messages show it. */
export function quoted(name: string): string {
  return `"${name}"`;
}

/** For messages: `no space left on device (ENOSPC)`. */
export function reason(error: unknown): string {
  const code = errno(error);
  if (code === undefined) return "unknown error";
  for (const [name, text] of getSystemErrorMap().values()) {
    if (name === code) return `${text} (${code})`;
  }
  return code;
}
