/**
 * A module's functions, from the CK_FUNCTION_LIST that C_GetFunctionList gives (PKCS#11 v2.40 §3.6
 * and §5.2): one table of the arguments of those that are used here, and the order of all.
 */
import type { ForeignFunction, Koffi } from "./koffi.js";
import { CKR, ReturnValueError } from "./return-value-error.js";
import { POINTER, ULONG } from "./structures.js";

/** The functions in the table. Undefined: the module's list has none. */
export type Functions = Readonly<Record<CalledFunction, ForeignFunction | undefined>>;

export type CalledFunction = keyof typeof ARGUMENTS;

/**
 * Loads a library and reads its list.
 *
 * @throws Error with the loader's message, or one that names C_GetFunctionList: there is none, or
 *   it fails
 */
export function loadFunctions(koffi: Koffi, struct: Koffi["struct"], path: string): Functions {
  const library = koffi.load(path);
  const getFunctionList = library.func("C_GetFunctionList", ULONG, [POINTER]);
  kept.push(library);
  const at = Buffer.alloc(koffi.sizeof(POINTER));
  const rv = Number(getFunctionList(at));
  const list = koffi.decode(at, POINTER) as bigint | null;
  if (rv !== 0) throw new ReturnValueError("C_GetFunctionList", rv);
  if (list === null) throw new ReturnValueError("C_GetFunctionList", CKR.GENERAL_ERROR);
  const members = Object.fromEntries(ORDER.map((name) => [name, POINTER]));
  const layout = struct({ major: "uint8", minor: "uint8", ...members });
  const pointers = koffi.decode(list, layout) as Readonly<Record<string, bigint | null>>;
  const functions = Object.entries(ARGUMENTS).map(([name, letters]) => {
    const pointer = pointers[name];
    if (pointer === undefined || pointer === null) return [name, undefined];
    const types = Array.from(letters, (letter) => C_TYPES[letter as keyof typeof C_TYPES]);
    return [name, koffi.decode(pointer, koffi.proto(ULONG, types))];
  });
  return Object.fromEntries(functions) as Functions;
}

/**
 * koffi unloads a library when the object for it is collected, even if functions from its list are
 * still called. Modules are never unloaded.
 */
const kept: unknown[] = [];

/** u: CK_ULONG; b: CK_BBOOL; p: a pointer. */
const C_TYPES = { u: ULONG, b: "uint8", p: POINTER } as const;

/** The arguments of each function (PKCS#11 v2.40 §5). All return a CK_RV. */
const ARGUMENTS = {
  C_Initialize: "p",
  C_Finalize: "p",
  C_GetInfo: "p",
  C_GetSlotList: "bpp",
  C_GetSlotInfo: "up",
  C_GetTokenInfo: "up",
  C_WaitForSlotEvent: "upp",
  C_GetMechanismList: "upp",
  C_GetMechanismInfo: "uup",
  C_InitToken: "upup",
  C_InitPIN: "upu",
  C_SetPIN: "upupu",
  C_OpenSession: "uuppp",
  C_CloseSession: "u",
  C_GetSessionInfo: "up",
  C_Login: "uupu",
  C_Logout: "u",
  C_CreateObject: "upup",
  C_CopyObject: "uupup",
  C_DestroyObject: "uu",
  C_GetAttributeValue: "uupu",
  C_FindObjectsInit: "upu",
  C_FindObjects: "upup",
  C_FindObjectsFinal: "u",
  C_DecryptInit: "upu",
  C_Decrypt: "upupp",
  C_SignInit: "upu",
  C_Sign: "upupp",
  C_GenerateKeyPair: "uppupupp",
  C_UnwrapKey: "upupupup",
  C_DeriveKey: "upupup",
} as const;

/** The order of the functions in CK_FUNCTION_LIST, after its version. */
const ORDER = `
  C_Initialize C_Finalize C_GetInfo C_GetFunctionList
  C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo
  C_InitToken C_InitPIN C_SetPIN
  C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo
  C_GetOperationState C_SetOperationState C_Login C_Logout
  C_CreateObject C_CopyObject C_DestroyObject C_GetObjectSize
  C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal
  C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal
  C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal
  C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal
  C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover
  C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover
  C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
  C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey
  C_SeedRandom C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent`
  .trim()
  .split(/\s+/);
