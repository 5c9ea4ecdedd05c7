/**
 * The structures of PKCS#11 v2.40 (§3.1 to §3.6, and the mechanisms' parameters) as C lays them
 * out on this system. CK_ULONG is C's unsigned long: eight bytes on 64-bit Linux and macOS, four on
 * Windows, where structures have no padding (not tested there).
 */
import type { ForeignType, Koffi } from "./koffi.js";

export interface Structures {
  readonly CK_C_INITIALIZE_ARGS: ForeignType;
  readonly CK_INFO: ForeignType;
  readonly CK_SLOT_INFO: ForeignType;
  readonly CK_TOKEN_INFO: ForeignType;
  readonly CK_SESSION_INFO: ForeignType;
  readonly CK_MECHANISM_INFO: ForeignType;
  readonly CK_ATTRIBUTE: ForeignType;
  readonly CK_MECHANISM: ForeignType;
  readonly CK_RSA_PKCS_OAEP_PARAMS: ForeignType;
  readonly CK_RSA_PKCS_PSS_PARAMS: ForeignType;
  readonly CK_ECDH1_DERIVE_PARAMS: ForeignType;
}

export type StructureName = keyof Structures;

/** The structures, and `struct`, the maker of more with this system's padding. */
export function describeStructures(koffi: Koffi): {
  readonly structures: Structures;
  readonly struct: Koffi["struct"];
} {
  const isPacked = process.platform === "win32";
  const struct: Koffi["struct"] = (members) =>
    isPacked ? koffi.pack(members) : koffi.struct(members);
  const text = (bytes: number): ForeignType => koffi.array("uint8", bytes, "Buffer");
  const version = struct({ major: "uint8", minor: "uint8" });
  const structures: Structures = {
    // NSS's form. In the standard's, pReserved has the place of LibraryParameters.
    CK_C_INITIALIZE_ARGS: struct({
      CreateMutex: POINTER,
      DestroyMutex: POINTER,
      LockMutex: POINTER,
      UnlockMutex: POINTER,
      flags: ULONG,
      LibraryParameters: POINTER,
      pReserved: POINTER,
    }),
    CK_INFO: struct({
      cryptokiVersion: version,
      manufacturerID: text(32),
      flags: ULONG,
      libraryDescription: text(32),
      libraryVersion: version,
    }),
    CK_SLOT_INFO: struct({
      slotDescription: text(64),
      manufacturerID: text(32),
      flags: ULONG,
      hardwareVersion: version,
      firmwareVersion: version,
    }),
    CK_TOKEN_INFO: struct({
      label: text(32),
      manufacturerID: text(32),
      model: text(16),
      serialNumber: text(16),
      flags: ULONG,
      ulMaxSessionCount: ULONG,
      ulSessionCount: ULONG,
      ulMaxRwSessionCount: ULONG,
      ulRwSessionCount: ULONG,
      ulMaxPinLen: ULONG,
      ulMinPinLen: ULONG,
      ulTotalPublicMemory: ULONG,
      ulFreePublicMemory: ULONG,
      ulTotalPrivateMemory: ULONG,
      ulFreePrivateMemory: ULONG,
      hardwareVersion: version,
      firmwareVersion: version,
      utcTime: text(16),
    }),
    CK_SESSION_INFO: struct({ slotID: ULONG, state: ULONG, flags: ULONG, ulDeviceError: ULONG }),
    CK_MECHANISM_INFO: struct({ ulMinKeySize: ULONG, ulMaxKeySize: ULONG, flags: ULONG }),
    CK_ATTRIBUTE: struct({ type: ULONG, pValue: POINTER, ulValueLen: ULONG }),
    CK_MECHANISM: struct({ mechanism: ULONG, pParameter: POINTER, ulParameterLen: ULONG }),
    CK_RSA_PKCS_OAEP_PARAMS: struct({
      hashAlg: ULONG,
      mgf: ULONG,
      source: ULONG,
      pSourceData: POINTER,
      ulSourceDataLen: ULONG,
    }),
    CK_RSA_PKCS_PSS_PARAMS: struct({ hashAlg: ULONG, mgf: ULONG, sLen: ULONG }),
    CK_ECDH1_DERIVE_PARAMS: struct({
      kdf: ULONG,
      ulSharedDataLen: ULONG,
      pSharedData: POINTER,
      ulPublicDataLen: ULONG,
      pPublicData: POINTER,
    }),
  };
  return { structures, struct };
}

/** koffi's names of C types. */
export const ULONG = "ulong";
export const POINTER = "void *";
