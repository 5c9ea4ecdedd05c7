/**
 * NSS softoken for tests: a second PKCS#11 implementation with cryptography of its own (SoftHSM
 * inside Node uses Node's OpenSSL). It differs from SoftHSM in OAEP hashes, templates and return
 * values. `TEST_NSS_MODULE` and `TEST_NSS_DIR` come from the test environment.
 */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { describe } from "@jest/globals";
import type { PKCS11 } from "pkcs11js";
import { TokenAccess, type TokenAccessOptions } from "../../src/token/access.js";
import { formatUri } from "../../src/token/uri.js";
import { skipped } from "./missing.js";
import { type TestToken, USER_PIN } from "./softhsm.js";

const module = process.env["TEST_NSS_MODULE"];
const folder = process.env["TEST_NSS_DIR"];

/** A suite on NSS softoken; skipped by name if there is none. */
export function describeNss(name: string, suite: () => void): void {
  if (module !== undefined && folder !== undefined) {
    describe(name, suite);
  } else {
    skipped(name, process.env["TEST_NSS_MISSING"] ?? "no NSS softoken");
  }
}

export interface NssToken extends TestToken {
  /** The environment that makes a `TokenAccess` start the module on this database. */
  readonly env: Record<string, string | undefined>;
}

/** A new database with a PIN. The module is not initialized afterwards. */
export async function freshNssToken(): Promise<NssToken> {
  if (module === undefined || folder === undefined) throw new Error("no NSS softoken");
  const database = mkdtempSync(join(folder, "db-"));
  const { default: pkcs11 } = (await import("pkcs11js")) as unknown as {
    default: { PKCS11: new () => PKCS11 };
  };
  const native = new pkcs11.PKCS11();
  native.load(module);
  kept.push(native);
  const parameters = `configdir='sql:${database}' certPrefix='' keyPrefix='' secmod='secmod.db' flags= `;
  native.C_Initialize({ flags: 2, libraryParameters: parameters });
  try {
    const slot = native.C_GetSlotList(true)[1];
    if (slot === undefined) throw new Error("NSS shows no key slot");
    const session = native.C_OpenSession(slot, 6);
    // A new database has an empty SO PIN.
    native.C_Login(session, 0, "");
    native.C_InitPIN(session, USER_PIN);
    native.C_Logout(session);
    native.C_CloseSession(session);
  } finally {
    native.C_Finalize();
  }
  const label = "NSS Certificate DB";
  const env = { P11SEAL_NSS_DIR: database };
  return { label, uri: formatUri({ token: label }), module, env };
}

/** A `TokenAccess` on this database alone. */
export function nssAccess(token: NssToken, options: Partial<TokenAccessOptions> = {}): TokenAccess {
  return new TokenAccess({
    modules: [token.module],
    home: "/nonexistent",
    env: token.env,
    pin: () => Promise.resolve(USER_PIN),
    ...options,
  });
}

/** If one were collected, the library would be unloaded while the others use it. */
const kept: PKCS11[] = [];
