/**
 * SoftHSM for tests: new tokens, imported fixture keys, and a view of a token that does not go
 * through `src/token`, so that the tested code does not check itself. `SOFTHSM2_CONF` and
 * `TEST_SOFTHSM2_MODULE` come from the test environment.
 */
import { createPrivateKey, randomBytes } from "node:crypto";
import { runInThisContext } from "node:vm";
import type { Attribute, PKCS11 } from "pkcs11js";
import { TokenAccess, type TokenAccessOptions } from "../../src/token/access.js";
import { formatUri } from "../../src/token/uri.js";
import { type ImportOptions, importPrivateKey } from "./import-key.js";

/** Not in any number or hexadecimal text, so that a test can look for it in what is shown. */
export const USER_PIN = "pin-1234";
export const SO_PIN = "87654321";

/** The module's path. Without SoftHSM, testing the token layer is pointless. */
export const SOFTHSM_MODULE = required("TEST_SOFTHSM2_MODULE");

/** A token made for one test file or one test. */
export interface TestToken {
  readonly label: string;
  readonly uri: string;
  readonly module: string;
}

/**
 * pkcs11js alone, initialized once for a test file and left initialized. Before the next file,
 * SoftHSM is finalized (test/support/file-folders.ts).
 */
export async function rawModule(path: string, parameters?: string): Promise<PKCS11> {
  const known = modules.get(path);
  if (known !== undefined) return known;
  const { default: pkcs11 } = (await import("pkcs11js")) as unknown as {
    default: { PKCS11: new () => PKCS11 };
  };
  const native = new pkcs11.PKCS11();
  native.load(path);
  try {
    native.C_Initialize({
      flags: OS_LOCKING_OK,
      // pkcs11js loses the last byte.
      ...(parameters === undefined ? {} : { libraryParameters: `${parameters} ` }),
    });
  } catch (error) {
    if ((error as { code?: number }).code !== ALREADY_INITIALIZED) throw error;
  }
  modules.set(path, native);
  if (path === SOFTHSM_MODULE) Object.assign(worker, { softHsm: native });
  return native;
}

/** What a command line needs to see SoftHSM's tokens and no others. */
export function softHsmEnvironment(home: string): Record<string, string | undefined> {
  return {
    P11SEAL_HOME: home,
    P11SEAL_SYSTEM_MODULES: "0",
    P11SEAL_MODULE: SOFTHSM_MODULE,
    SOFTHSM2_CONF: process.env["SOFTHSM2_CONF"],
    PATH: process.env["PATH"],
  };
}

/** A new, empty token with both PINs set. */
export async function freshToken(name: string): Promise<TestToken> {
  const native = await rawModule(SOFTHSM_MODULE);
  // One process runs several test files, and none of them knows the names of the others' tokens.
  const label = `${name}-${randomBytes(4).toString("hex")}`;
  const slot = native.C_GetSlotList(true).find((one) => isFree(native, one));
  if (slot === undefined) throw new Error("SoftHSM shows no free slot");
  native.C_InitToken(slot, SO_PIN, label.padEnd(32));
  const session = native.C_OpenSession(slot, READ_WRITE);
  native.C_Login(session, USER_SO, SO_PIN);
  native.C_InitPIN(session, USER_PIN);
  native.C_Logout(session);
  native.C_CloseSession(session);
  return { label, uri: formatUri({ token: label }), module: SOFTHSM_MODULE };
}

/** A token that another test's process is just making can't be queried. */
function isFree(native: PKCS11, slot: Buffer): boolean {
  try {
    return (native.C_GetTokenInfo(slot).flags & TOKEN_INITIALIZED) === 0;
  } catch {
    return false;
  }
}

/** A `TokenAccess` on SoftHSM alone, by default with the right PIN. */
export function softHsmAccess(options: Partial<TokenAccessOptions> = {}): TokenAccess {
  return new TokenAccess({
    modules: [SOFTHSM_MODULE],
    home: "/nonexistent",
    env: process.env,
    pin: () => Promise.resolve(USER_PIN),
    ...options,
  });
}

/** Runs `work` in a raw read-write session, logged in, and logs out again. */
export async function withRawSession<T>(
  token: TestToken,
  work: (native: PKCS11, session: Buffer) => T,
  pin: string = USER_PIN,
): Promise<T> {
  const native = await rawModule(token.module);
  const slot = native
    .C_GetSlotList(true)
    .find((one) => native.C_GetTokenInfo(one).label.trimEnd() === token.label);
  if (slot === undefined) throw new Error(`no token ${token.label}`);
  const session = native.C_OpenSession(slot, READ_WRITE);
  let didLogIn = false;
  try {
    try {
      native.C_Login(session, USER, pin);
      didLogIn = true;
    } catch (error) {
      if ((error as { code?: number }).code !== ALREADY_LOGGED_IN) throw error;
    }
    return work(native, session);
  } finally {
    if (didLogIn) native.C_Logout(session);
    native.C_CloseSession(session);
  }
}

/** How many objects the token and this process's sessions hold, including private ones. */
export function objectCount(token: TestToken): Promise<number> {
  return withRawSession(token, (native, session) => findAll(native, session, []).length);
}

export function findAll(native: PKCS11, session: Buffer, wanted: Attribute[]): Buffer[] {
  native.C_FindObjectsInit(session, wanted);
  const found: Buffer[] = [];
  for (;;) {
    const some = native.C_FindObjects(session, 100);
    if (some.length === 0) break;
    found.push(...some);
  }
  native.C_FindObjectsFinal(session);
  return found;
}

/** Puts a fixture's key pair on a token. RSA and NIST curves. */
export async function importKey(
  token: TestToken,
  privatePem: string,
  options: ImportOptions,
): Promise<void> {
  await withRawSession(token, (native, session) => {
    importPrivateKey(native, session, createPrivateKey(privatePem), options);
  });
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined)
    throw new Error(`${name} is not set: the tests need SoftHSM, run npm test`);
  return value;
}

const modules = new Map<string, PKCS11>();
const worker = runInThisContext("globalThis.p11sealTests") as object;

const OS_LOCKING_OK = 2;
const ALREADY_INITIALIZED = 0x191;
const ALREADY_LOGGED_IN = 0x100;
const TOKEN_INITIALIZED = 0x400;
const READ_WRITE = 6;
const USER_SO = 0;
const USER = 1;
