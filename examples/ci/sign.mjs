/**
 * The program of this example: signs a file with an EC key on a token, and prints the signature.
 *
 *     node sign.mjs KEY FILE
 *
 * PKCS11_MODULE_PATH and PKCS11_PIN say which token. It uses PKCS#11 itself, and nothing of
 * p11seal: that is for its tests.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pkcs11js from "pkcs11js";

/**
 * ECDSA with SHA-256 over `data`, as r and s in a row.
 *
 * @param {{ module: string, pin: string, key: string }} where
 * @param {Uint8Array} data
 */
export function sign({ module, pin, key }, data) {
  const token = new pkcs11js.PKCS11();
  token.load(module);
  try {
    token.C_Initialize();
    const slot = token.C_GetSlotList(true).find((one) => isInitialized(token, one));
    if (slot === undefined) throw new Error("no token is present");
    const session = token.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION);
    token.C_Login(session, pkcs11js.CKU_USER, pin);
    token.C_FindObjectsInit(session, [
      { type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY },
      { type: pkcs11js.CKA_LABEL, value: key },
    ]);
    const [found] = token.C_FindObjects(session, 1);
    token.C_FindObjectsFinal(session);
    if (found === undefined) throw new Error(`the token has no key "${key}"`);
    const digest = createHash("sha256").update(data).digest();
    token.C_SignInit(session, { mechanism: pkcs11js.CKM_ECDSA }, found);
    return token.C_Sign(session, digest, Buffer.alloc(64));
  } finally {
    try {
      token.C_Finalize();
    } catch {
      // It was never initialized.
    }
    token.close();
  }
}

/**
 * SoftHSM has one slot more, with a token that nobody has initialized.
 *
 * @param {pkcs11js.PKCS11} token
 * @param {Buffer} slot
 */
function isInitialized(token, slot) {
  return (token.C_GetTokenInfo(slot).flags & pkcs11js.CKF_TOKEN_INITIALIZED) !== 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [key = "", file = ""] = process.argv.slice(2);
  const { PKCS11_MODULE_PATH: module = "", PKCS11_PIN: pin = "" } = process.env;
  try {
    console.log(sign({ module, pin, key }, readFileSync(file)).toString("base64"));
  } catch (error) {
    console.error(`sign.mjs: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
