/** The module that fails on demand. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildModule } from "../build-module.js";
import { SOFTHSM_MODULE } from "../softhsm.js";
import { temporaryFolder } from "../../token/modules/temporary.js";

/** Compiles the module into a folder of this test file. Returns its path. */
export function buildFaultyModule(): string {
  return buildModule(fileURLToPath(new URL("./module.cc", import.meta.url)), "faulty");
}

/** Instructions to the module, in the environment of the token's process. */
export interface Fault {
  /** The PKCS#11 function that fails. */
  readonly fn: string;
  readonly how: "crash" | "abort" | "exit" | "hang" | "short" | "wrong" | number;
  /** The number of calls that succeed first. */
  readonly skip?: number;
  /** Only one call fails, in any process. */
  readonly once?: boolean;
  /** None fails after a login. */
  readonly untilLogin?: boolean;
  /** The attribute that is cut or altered; by default CKA_VALUE. */
  readonly attribute?: number;
  /** Tokens with this label list no mechanism, and have them all the same. */
  readonly unlisted?: string;
  /** Tokens lack CKF_LOGIN_REQUIRED, and hide private objects until a login all the same. */
  readonly optionalLogin?: boolean;
  /** Flags of tokens (CK_TOKEN_INFO) that the module does not show. */
  readonly hiddenFlags?: number;
  /** A file to which the name of each function called is appended. */
  readonly calls?: string;
}

export function faultyEnvironment(fault: Fault): Record<string, string> {
  const {
    fn,
    how,
    skip,
    once,
    untilLogin,
    attribute,
    unlisted,
    hiddenFlags,
    calls,
    optionalLogin,
  } = fault;
  const marker = join(temporaryFolder("once"), "once");
  if (once === true) writeFileSync(marker, "");
  return {
    FAULTY_MODULE: SOFTHSM_MODULE,
    FAULTY_FUNCTION: fn,
    FAULTY_HOW: String(how),
    ...(skip === undefined ? {} : { FAULTY_SKIP: String(skip) }),
    ...(once === true ? { FAULTY_ONCE: marker } : {}),
    ...(untilLogin === true ? { FAULTY_UNTIL_LOGIN: "1" } : {}),
    ...(unlisted === undefined ? {} : { FAULTY_UNLISTED: unlisted }),
    ...(optionalLogin === true ? { FAULTY_OPTIONAL_LOGIN: "1" } : {}),
    ...(hiddenFlags === undefined ? {} : { FAULTY_HIDDEN_FLAGS: String(hiddenFlags) }),
    ...(calls === undefined ? {} : { FAULTY_CALLS: calls }),
    ...(attribute === undefined ? {} : { FAULTY_ATTRIBUTE: String(attribute) }),
  };
}
