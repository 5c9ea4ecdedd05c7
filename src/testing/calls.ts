/** The log of calls that the shim writes, with names instead of numbers. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { defined } from "../defined.js";
import { CKM } from "../token/modules/constants.js";
import { returnValue } from "../token/modules/ckr.js";
import { attributeName } from "../token/modules/template.js";

/** One call of a PKCS#11 function, as it ended. */
export interface Call {
  readonly fn: string;
  /** The process that called. */
  readonly pid: number;
  readonly session?: number;
  readonly slot?: number;
  /** Of C_Login: who. */
  readonly user?: "CKU_SO" | "CKU_USER" | "CKU_CONTEXT_SPECIFIC" | number;
  /** Of functions that take a PIN: whether the caller gave one; a PIN pad's caller does not. */
  readonly pin?: boolean;
  /** As in `CKM_RSA_PKCS_OAEP`, or a number in hexadecimal. */
  readonly mechanism?: string;
  /** The template, or C_GetAttributeValue's results. */
  readonly attributes?: readonly CallAttribute[];
  /** C_GenerateKeyPair's template of the private key; `attributes` is the public key's. */
  readonly privateAttributes?: readonly CallAttribute[];
  /** As in `CKR_OK`; absent where the call did not return. */
  readonly rv?: string;
  /** What a fault did to it, as in `crash`. */
  readonly fault?: string;
}

/** An attribute in a call. Values that may be secret, or are data, are not logged. */
export interface CallAttribute {
  /** As in `CKA_LABEL`. */
  readonly name: string;
  /** The value's length; -1: there is none. */
  readonly bytes: number;
  /** The value in hexadecimal, as in memory, of labels, ids, classes, flags and sizes. */
  readonly hex?: string;
}

/** Empties the log. */
export function forgetCalls(folder: string): void {
  rmSync(join(folder, LOG), { force: true });
}

/** All calls so far, in the order in which they ended. */
export function readCalls(folder: string): Call[] {
  return text(join(folder, LOG))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => named(JSON.parse(line) as LoggedCall));
}

/** The log, in a token's folder (shim/log.h). */
const LOG = "calls";

interface LoggedCall {
  readonly fn: string;
  readonly pid: number;
  readonly session?: number;
  readonly slot?: number;
  readonly user?: number;
  readonly pin?: boolean;
  readonly mechanism?: number;
  readonly attributes?: readonly LoggedAttribute[];
  readonly attributes2?: readonly LoggedAttribute[];
  readonly rv: number | null;
  readonly fault?: string;
}

interface LoggedAttribute {
  readonly type: number;
  readonly bytes: number;
  readonly hex?: string;
}

function named({ fn, pid, session, slot, fault, ...logged }: LoggedCall): Call {
  const { user, pin, mechanism, attributes, attributes2, rv } = logged;
  return {
    ...{ fn, pid },
    ...defined({
      session,
      slot,
      user: user === undefined ? undefined : (USERS[user] ?? user),
      pin,
      mechanism: mechanism === undefined ? undefined : mechanismName(mechanism),
      attributes: attributes?.map(namedAttribute),
      privateAttributes: attributes2?.map(namedAttribute),
      rv: rv === null ? undefined : rv === 0 ? "CKR_OK" : returnValue(rv).name,
      fault,
    }),
  };
}

const USERS = ["CKU_SO", "CKU_USER", "CKU_CONTEXT_SPECIFIC"] as const;

function namedAttribute({ type, bytes, hex }: LoggedAttribute): CallAttribute {
  return { name: attributeName(type), bytes, ...defined({ hex }) };
}

function mechanismName(mechanism: number): string {
  const known = Object.entries(CKM).find(([, number]) => number === mechanism);
  return known === undefined ? `0x${mechanism.toString(16)}` : `CKM_${known[0]}`;
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Nothing was called yet.
    return "";
  }
}
