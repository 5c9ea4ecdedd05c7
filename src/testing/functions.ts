/**
 * The functions of PKCS#11 v2.40 §5 that a module has, and what each gives back: that decides
 * which faults it can have.
 */

/** What a successful call gives back besides CKR_OK. */
type Result = "nothing" | "a value";

/** A function that a fault can be set for. */
export type PkcsFunction = keyof typeof FUNCTIONS;

/** Whether a call's result can be cut or changed. */
export function givesValue(fn: PkcsFunction): boolean {
  return FUNCTIONS[fn] === "a value";
}

/** Whether a module has a function of this name. */
export function isFunction(name: string): name is PkcsFunction {
  return Object.hasOwn(FUNCTIONS, name);
}

const FUNCTIONS = {
  C_Initialize: "nothing",
  C_Finalize: "nothing",
  C_GetInfo: "a value",
  C_GetFunctionList: "nothing",
  C_GetSlotList: "a value",
  C_GetSlotInfo: "a value",
  C_GetTokenInfo: "a value",
  C_GetMechanismList: "a value",
  C_GetMechanismInfo: "a value",
  C_InitToken: "nothing",
  C_InitPIN: "nothing",
  C_SetPIN: "nothing",
  C_OpenSession: "a value",
  C_CloseSession: "nothing",
  C_CloseAllSessions: "nothing",
  C_GetSessionInfo: "nothing",
  C_GetOperationState: "a value",
  C_SetOperationState: "nothing",
  C_Login: "nothing",
  C_Logout: "nothing",
  C_CreateObject: "a value",
  C_CopyObject: "a value",
  C_DestroyObject: "nothing",
  C_GetObjectSize: "a value",
  C_GetAttributeValue: "a value",
  C_SetAttributeValue: "nothing",
  C_FindObjectsInit: "nothing",
  C_FindObjects: "a value",
  C_FindObjectsFinal: "nothing",
  C_EncryptInit: "nothing",
  C_Encrypt: "a value",
  C_EncryptUpdate: "a value",
  C_EncryptFinal: "a value",
  C_DecryptInit: "nothing",
  C_Decrypt: "a value",
  C_DecryptUpdate: "a value",
  C_DecryptFinal: "a value",
  C_DigestInit: "nothing",
  C_Digest: "a value",
  C_DigestUpdate: "nothing",
  C_DigestKey: "nothing",
  C_DigestFinal: "a value",
  C_SignInit: "nothing",
  C_Sign: "a value",
  C_SignUpdate: "nothing",
  C_SignFinal: "a value",
  C_SignRecoverInit: "nothing",
  C_SignRecover: "a value",
  C_VerifyInit: "nothing",
  C_Verify: "nothing",
  C_VerifyUpdate: "nothing",
  C_VerifyFinal: "nothing",
  C_VerifyRecoverInit: "nothing",
  C_VerifyRecover: "a value",
  C_DigestEncryptUpdate: "a value",
  C_DecryptDigestUpdate: "a value",
  C_SignEncryptUpdate: "a value",
  C_DecryptVerifyUpdate: "a value",
  C_GenerateKey: "a value",
  C_GenerateKeyPair: "a value",
  C_WrapKey: "a value",
  C_UnwrapKey: "a value",
  C_DeriveKey: "a value",
  C_SeedRandom: "nothing",
  C_GenerateRandom: "nothing",
  C_WaitForSlotEvent: "nothing",
} as const satisfies Record<string, Result>;
