// What the shim needs of PKCS#11, so that it compiles without anybody's headers: types, constants
// and the function list, as PKCS#11 v2.40 gives them (Base Specification §3 and §5; constants in
// §B of the same and in Current Mechanisms §B). Structures are aligned as C aligns them, which is
// what modules do on Unix.
#pragma once

using CK_BYTE = unsigned char;
using CK_BBOOL = CK_BYTE;
using CK_UTF8CHAR = CK_BYTE;
using CK_CHAR = CK_BYTE;
using CK_ULONG = unsigned long;
using CK_FLAGS = CK_ULONG;
using CK_RV = CK_ULONG;
using CK_SLOT_ID = CK_ULONG;
using CK_SESSION_HANDLE = CK_ULONG;
using CK_OBJECT_HANDLE = CK_ULONG;
using CK_OBJECT_CLASS = CK_ULONG;
using CK_USER_TYPE = CK_ULONG;
using CK_STATE = CK_ULONG;
using CK_NOTIFICATION = CK_ULONG;
using CK_ATTRIBUTE_TYPE = CK_ULONG;
using CK_MECHANISM_TYPE = CK_ULONG;

using CK_VOID_PTR = void *;
using CK_BYTE_PTR = CK_BYTE *;
using CK_UTF8CHAR_PTR = CK_UTF8CHAR *;
using CK_ULONG_PTR = CK_ULONG *;
using CK_SLOT_ID_PTR = CK_SLOT_ID *;
using CK_SESSION_HANDLE_PTR = CK_SESSION_HANDLE *;
using CK_OBJECT_HANDLE_PTR = CK_OBJECT_HANDLE *;
using CK_MECHANISM_TYPE_PTR = CK_MECHANISM_TYPE *;

using CK_NOTIFY = CK_RV (*)(CK_SESSION_HANDLE, CK_NOTIFICATION, CK_VOID_PTR);

struct CK_VERSION {
  CK_BYTE major, minor;
};

struct CK_INFO {
  CK_VERSION cryptokiVersion;
  CK_UTF8CHAR manufacturerID[32];
  CK_FLAGS flags;
  CK_UTF8CHAR libraryDescription[32];
  CK_VERSION libraryVersion;
};
using CK_INFO_PTR = CK_INFO *;

struct CK_SLOT_INFO {
  CK_UTF8CHAR slotDescription[64], manufacturerID[32];
  CK_FLAGS flags;
  CK_VERSION hardwareVersion, firmwareVersion;
};
using CK_SLOT_INFO_PTR = CK_SLOT_INFO *;

struct CK_TOKEN_INFO {
  CK_UTF8CHAR label[32], manufacturerID[32], model[16];
  CK_CHAR serialNumber[16];
  CK_FLAGS flags;
  CK_ULONG ulMaxSessionCount, ulSessionCount, ulMaxRwSessionCount, ulRwSessionCount;
  CK_ULONG ulMaxPinLen, ulMinPinLen;
  CK_ULONG ulTotalPublicMemory, ulFreePublicMemory, ulTotalPrivateMemory, ulFreePrivateMemory;
  CK_VERSION hardwareVersion, firmwareVersion;
  CK_CHAR utcTime[16];
};
using CK_TOKEN_INFO_PTR = CK_TOKEN_INFO *;

struct CK_SESSION_INFO {
  CK_SLOT_ID slotID;
  CK_STATE state;
  CK_FLAGS flags;
  CK_ULONG ulDeviceError;
};
using CK_SESSION_INFO_PTR = CK_SESSION_INFO *;

struct CK_ATTRIBUTE {
  CK_ATTRIBUTE_TYPE type;
  CK_VOID_PTR pValue;
  CK_ULONG ulValueLen;
};
using CK_ATTRIBUTE_PTR = CK_ATTRIBUTE *;

struct CK_MECHANISM {
  CK_MECHANISM_TYPE mechanism;
  CK_VOID_PTR pParameter;
  CK_ULONG ulParameterLen;
};
using CK_MECHANISM_PTR = CK_MECHANISM *;

struct CK_MECHANISM_INFO {
  CK_ULONG ulMinKeySize, ulMaxKeySize;
  CK_FLAGS flags;
};
using CK_MECHANISM_INFO_PTR = CK_MECHANISM_INFO *;

struct CK_RSA_PKCS_OAEP_PARAMS {
  CK_MECHANISM_TYPE hashAlg;
  CK_ULONG mgf, source;
  CK_VOID_PTR pSourceData;
  CK_ULONG ulSourceDataLen;
};

struct CK_ECDH1_DERIVE_PARAMS {
  CK_ULONG kdf, ulSharedDataLen;
  CK_BYTE_PTR pSharedData;
  CK_ULONG ulPublicDataLen;
  CK_BYTE_PTR pPublicData;
};

// ── Every function, in the order of CK_FUNCTION_LIST ──

struct CK_FUNCTION_LIST;
using CK_FUNCTION_LIST_PTR = CK_FUNCTION_LIST *;
using CK_FUNCTION_LIST_PTR_PTR = CK_FUNCTION_LIST_PTR *;

#define SESSION CK_SESSION_HANDLE
#define OBJECT CK_OBJECT_HANDLE
#define SOME_BYTES CK_BYTE_PTR, CK_ULONG
#define ROOM_FOR_BYTES CK_BYTE_PTR, CK_ULONG_PTR
#define TEMPLATE CK_ATTRIBUTE_PTR, CK_ULONG

#define CK_FUNCTIONS(F)                                                                     \
  F(C_Initialize, CK_VOID_PTR)                                                              \
  F(C_Finalize, CK_VOID_PTR)                                                                \
  F(C_GetInfo, CK_INFO_PTR)                                                                 \
  F(C_GetFunctionList, CK_FUNCTION_LIST_PTR_PTR)                                            \
  F(C_GetSlotList, CK_BBOOL, CK_SLOT_ID_PTR, CK_ULONG_PTR)                                  \
  F(C_GetSlotInfo, CK_SLOT_ID, CK_SLOT_INFO_PTR)                                            \
  F(C_GetTokenInfo, CK_SLOT_ID, CK_TOKEN_INFO_PTR)                                          \
  F(C_GetMechanismList, CK_SLOT_ID, CK_MECHANISM_TYPE_PTR, CK_ULONG_PTR)                    \
  F(C_GetMechanismInfo, CK_SLOT_ID, CK_MECHANISM_TYPE, CK_MECHANISM_INFO_PTR)               \
  F(C_InitToken, CK_SLOT_ID, SOME_BYTES, CK_UTF8CHAR_PTR)                                   \
  F(C_InitPIN, SESSION, SOME_BYTES)                                                         \
  F(C_SetPIN, SESSION, SOME_BYTES, SOME_BYTES)                                              \
  F(C_OpenSession, CK_SLOT_ID, CK_FLAGS, CK_VOID_PTR, CK_NOTIFY, CK_SESSION_HANDLE_PTR)     \
  F(C_CloseSession, SESSION)                                                                \
  F(C_CloseAllSessions, CK_SLOT_ID)                                                         \
  F(C_GetSessionInfo, SESSION, CK_SESSION_INFO_PTR)                                         \
  F(C_GetOperationState, SESSION, ROOM_FOR_BYTES)                                           \
  F(C_SetOperationState, SESSION, SOME_BYTES, OBJECT, OBJECT)                               \
  F(C_Login, SESSION, CK_USER_TYPE, SOME_BYTES)                                             \
  F(C_Logout, SESSION)                                                                      \
  F(C_CreateObject, SESSION, TEMPLATE, CK_OBJECT_HANDLE_PTR)                                \
  F(C_CopyObject, SESSION, OBJECT, TEMPLATE, CK_OBJECT_HANDLE_PTR)                          \
  F(C_DestroyObject, SESSION, OBJECT)                                                       \
  F(C_GetObjectSize, SESSION, OBJECT, CK_ULONG_PTR)                                         \
  F(C_GetAttributeValue, SESSION, OBJECT, TEMPLATE)                                         \
  F(C_SetAttributeValue, SESSION, OBJECT, TEMPLATE)                                         \
  F(C_FindObjectsInit, SESSION, TEMPLATE)                                                   \
  F(C_FindObjects, SESSION, CK_OBJECT_HANDLE_PTR, CK_ULONG, CK_ULONG_PTR)                   \
  F(C_FindObjectsFinal, SESSION)                                                            \
  F(C_EncryptInit, SESSION, CK_MECHANISM_PTR, OBJECT)                                       \
  F(C_Encrypt, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                                         \
  F(C_EncryptUpdate, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                                   \
  F(C_EncryptFinal, SESSION, ROOM_FOR_BYTES)                                                \
  F(C_DecryptInit, SESSION, CK_MECHANISM_PTR, OBJECT)                                       \
  F(C_Decrypt, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                                         \
  F(C_DecryptUpdate, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                                   \
  F(C_DecryptFinal, SESSION, ROOM_FOR_BYTES)                                                \
  F(C_DigestInit, SESSION, CK_MECHANISM_PTR)                                                \
  F(C_Digest, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                                          \
  F(C_DigestUpdate, SESSION, SOME_BYTES)                                                    \
  F(C_DigestKey, SESSION, OBJECT)                                                           \
  F(C_DigestFinal, SESSION, ROOM_FOR_BYTES)                                                 \
  F(C_SignInit, SESSION, CK_MECHANISM_PTR, OBJECT)                                          \
  F(C_Sign, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                                            \
  F(C_SignUpdate, SESSION, SOME_BYTES)                                                      \
  F(C_SignFinal, SESSION, ROOM_FOR_BYTES)                                                   \
  F(C_SignRecoverInit, SESSION, CK_MECHANISM_PTR, OBJECT)                                   \
  F(C_SignRecover, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                                     \
  F(C_VerifyInit, SESSION, CK_MECHANISM_PTR, OBJECT)                                        \
  F(C_Verify, SESSION, SOME_BYTES, SOME_BYTES)                                              \
  F(C_VerifyUpdate, SESSION, SOME_BYTES)                                                    \
  F(C_VerifyFinal, SESSION, SOME_BYTES)                                                     \
  F(C_VerifyRecoverInit, SESSION, CK_MECHANISM_PTR, OBJECT)                                 \
  F(C_VerifyRecover, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                                   \
  F(C_DigestEncryptUpdate, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                             \
  F(C_DecryptDigestUpdate, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                             \
  F(C_SignEncryptUpdate, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                               \
  F(C_DecryptVerifyUpdate, SESSION, SOME_BYTES, ROOM_FOR_BYTES)                             \
  F(C_GenerateKey, SESSION, CK_MECHANISM_PTR, TEMPLATE, CK_OBJECT_HANDLE_PTR)               \
  F(C_GenerateKeyPair, SESSION, CK_MECHANISM_PTR, TEMPLATE, TEMPLATE, CK_OBJECT_HANDLE_PTR, \
    CK_OBJECT_HANDLE_PTR)                                                                   \
  F(C_WrapKey, SESSION, CK_MECHANISM_PTR, OBJECT, OBJECT, ROOM_FOR_BYTES)                   \
  F(C_UnwrapKey, SESSION, CK_MECHANISM_PTR, OBJECT, SOME_BYTES, TEMPLATE,                   \
    CK_OBJECT_HANDLE_PTR)                                                                   \
  F(C_DeriveKey, SESSION, CK_MECHANISM_PTR, OBJECT, TEMPLATE, CK_OBJECT_HANDLE_PTR)         \
  F(C_SeedRandom, SESSION, SOME_BYTES)                                                      \
  F(C_GenerateRandom, SESSION, SOME_BYTES)                                                  \
  F(C_GetFunctionStatus, SESSION)                                                           \
  F(C_CancelFunction, SESSION)                                                              \
  F(C_WaitForSlotEvent, CK_FLAGS, CK_SLOT_ID_PTR, CK_VOID_PTR)

struct CK_FUNCTION_LIST {
  CK_VERSION version;
#define CK_MEMBER(name, ...) CK_RV (*name)(__VA_ARGS__);
  CK_FUNCTIONS(CK_MEMBER)
#undef CK_MEMBER
};

#undef SESSION
#undef OBJECT
#undef SOME_BYTES
#undef ROOM_FOR_BYTES
#undef TEMPLATE

using CK_C_GetFunctionList = CK_RV (*)(CK_FUNCTION_LIST_PTR_PTR);

// ── Constants ──

constexpr CK_BBOOL CK_FALSE = 0, CK_TRUE = 1;
constexpr CK_ULONG CK_INVALID_HANDLE = 0;

constexpr CK_USER_TYPE CKU_SO = 0;
constexpr CK_STATE CKS_RW_SO_FUNCTIONS = 4;

constexpr CK_FLAGS CKF_TOKEN_PRESENT = 0x1;                   // CK_SLOT_INFO
constexpr CK_FLAGS CKF_PROTECTED_AUTHENTICATION_PATH = 0x100; // CK_TOKEN_INFO
constexpr CK_FLAGS CKF_TOKEN_INITIALIZED = 0x400;
constexpr CK_FLAGS CKF_DECRYPT = 0x200;                       // CK_MECHANISM_INFO
constexpr CK_FLAGS CKF_SIGN = 0x800;
constexpr CK_FLAGS CKF_GENERATE_KEY_PAIR = 0x10000;
constexpr CK_FLAGS CKF_UNWRAP = 0x40000;
constexpr CK_FLAGS CKF_DERIVE = 0x80000;
constexpr CK_FLAGS CKF_DONT_BLOCK = 0x1;                      // C_WaitForSlotEvent

constexpr CK_ATTRIBUTE_TYPE CKA_CLASS = 0x0, CKA_LABEL = 0x3;
constexpr CK_ATTRIBUTE_TYPE CKA_DECRYPT = 0x105, CKA_SIGN = 0x108;
constexpr CK_ATTRIBUTE_TYPE CKA_EC_PARAMS = 0x180, CKA_EC_POINT = 0x181;

constexpr CK_MECHANISM_TYPE CKM_RSA_PKCS_OAEP = 0x9, CKM_ECDH1_DERIVE = 0x1050;

constexpr CK_RV CKR_OK = 0x0;
constexpr CK_RV CKR_GENERAL_ERROR = 0x5;
constexpr CK_RV CKR_ARGUMENTS_BAD = 0x7;
constexpr CK_RV CKR_NO_EVENT = 0x8;
constexpr CK_RV CKR_DATA_INVALID = 0x20;
constexpr CK_RV CKR_FUNCTION_CANCELED = 0x50;
constexpr CK_RV CKR_MECHANISM_INVALID = 0x70;
constexpr CK_RV CKR_MECHANISM_PARAM_INVALID = 0x71;
constexpr CK_RV CKR_OPERATION_ACTIVE = 0x90;
constexpr CK_RV CKR_OPERATION_NOT_INITIALIZED = 0x91;
constexpr CK_RV CKR_SESSION_HANDLE_INVALID = 0xb3;
constexpr CK_RV CKR_TOKEN_NOT_PRESENT = 0xe0;
constexpr CK_RV CKR_USER_ALREADY_LOGGED_IN = 0x100;
constexpr CK_RV CKR_BUFFER_TOO_SMALL = 0x150;
