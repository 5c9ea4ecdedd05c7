// A PKCS#11 module for tests that lies about lengths. The number of the slot says how; a session's
// handle has it in the low byte, and uses all bits of a CK_ULONG. 0: honestly; 1: there is more than
// any memory holds; 2: there is more than the caller has room for; 3: nothing is revealed. It keeps
// what it got of the last call in one text, `seen`.
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "pkcs11.h"

static const CK_ULONG HIGH = 0xfedcba9876543200UL;
static CK_FUNCTION_LIST list;
static char text[4096];

static int how(CK_ULONG number) { return number & 0xff; }

// NSS's CK_C_INITIALIZE_ARGS.
struct InitializeArgs {
  void *mutex_functions[4];
  CK_FLAGS flags;
  CK_CHAR_PTR LibraryParameters;
  CK_VOID_PTR pReserved;
};

static CK_RV C_Initialize_(CK_VOID_PTR args) {
  InitializeArgs *a = (InitializeArgs *)args;
  snprintf(text, sizeof text, "%lu %s", (unsigned long)a->flags,
           a->LibraryParameters ? (char *)a->LibraryParameters : "-");
  return CKR_OK;
}

// Three numbers, or what the lie says.
static CK_RV fill(int lie, CK_ULONG_PTR to, CK_ULONG_PTR count) {
  if (lie == 1) {
    *count = 1UL << 40;
  } else if (!to) {
    *count = 3;
  } else {
    for (CK_ULONG i = 0; i < *count; i++) to[i] = HIGH + i;
    if (lie == 2) *count += 1;
  }
  return CKR_OK;
}

static CK_RV C_GetMechanismList_(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR to, CK_ULONG_PTR count) {
  return fill(how(slot), to, count);
}

static CK_RV C_OpenSession_(CK_SLOT_ID slot, CK_FLAGS, CK_VOID_PTR, CK_NOTIFY,
                            CK_SESSION_HANDLE_PTR session) {
  *session = HIGH | slot;
  return CKR_OK;
}

static CK_RV C_CloseSession_(CK_SESSION_HANDLE session) {
  snprintf(text, sizeof text, "%lx", (unsigned long)session);
  return CKR_OK;
}

static CK_RV C_FindObjects_(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR to, CK_ULONG most,
                            CK_ULONG_PTR found) {
  *found = most;
  return fill(how(session), to, found);
}

static CK_RV C_GetAttributeValue_(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE, CK_ATTRIBUTE_PTR t,
                                  CK_ULONG count) {
  for (CK_ULONG i = 0; i < count; i++) {
    if (how(session) == 1) t[i].ulValueLen = 1UL << 40;
    else if (how(session) == 3) t[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
    else if (!t[i].pValue) t[i].ulValueLen = 4;
    else {
      memset(t[i].pValue, 0x61 + (int)t[i].type, t[i].ulValueLen);
      // An honest module may also find that there is less than it said.
      t[i].ulValueLen += how(session) == 2 ? 1 : -1;
    }
  }
  return CKR_OK;
}

static CK_RV transform(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG length, CK_BYTE_PTR out,
                       CK_ULONG_PTR written) {
  if (*written < length) return CKR_BUFFER_TOO_SMALL;
  for (CK_ULONG i = 0; i < length; i++) out[i] = in[i] ^ 0xff;
  *written = how(session) == 1 ? 1UL << 40 : how(session) == 2 ? *written + 1 : length;
  return CKR_OK;
}

// As tpm2-pkcs11 does: C_Sign reads the parameters that C_SignInit got.
static CK_RSA_PKCS_PSS_PARAMS_PTR begun;

static CK_RV C_SignInit_(CK_SESSION_HANDLE, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE) {
  begun = (CK_RSA_PKCS_PSS_PARAMS_PTR)m->pParameter;
  return CKR_OK;
}

static CK_RV C_Sign_(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG length, CK_BYTE_PTR out,
                     CK_ULONG_PTR written) {
  CK_RV rv = transform(session, in, length, out, written);
  if (begun) out[0] = (CK_BYTE)begun->sLen;
  return rv;
}

static size_t hex(char *to, const CK_BYTE *bytes, CK_ULONG length) {
  size_t at = 0;
  for (CK_ULONG i = 0; i < length && i < 64; i++) at += sprintf(to + at, "%02x", bytes[i]);
  return at;
}

// Everything that a mechanism and a template hold.
static void see(CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR t, CK_ULONG count) {
  size_t at = snprintf(text, sizeof text, "%lx", (unsigned long)m->mechanism);
  if (m->mechanism == CKM_RSA_PKCS_OAEP) {
    CK_RSA_PKCS_OAEP_PARAMS_PTR p = (CK_RSA_PKCS_OAEP_PARAMS_PTR)m->pParameter;
    at += sprintf(text + at, " oaep %lx %lx %lx ", (unsigned long)p->hashAlg,
                  (unsigned long)p->mgf, (unsigned long)p->source);
    at += hex(text + at, (CK_BYTE_PTR)p->pSourceData, p->ulSourceDataLen);
  }
  if (m->mechanism == CKM_ECDH1_DERIVE) {
    CK_ECDH1_DERIVE_PARAMS_PTR p = (CK_ECDH1_DERIVE_PARAMS_PTR)m->pParameter;
    at += sprintf(text + at, " ecdh %lx %lx ", (unsigned long)p->kdf,
                  (unsigned long)p->ulSharedDataLen);
    at += hex(text + at, p->pPublicData, p->ulPublicDataLen);
  }
  if (m->mechanism == CKM_RSA_PKCS_PSS) {
    CK_RSA_PKCS_PSS_PARAMS_PTR p = (CK_RSA_PKCS_PSS_PARAMS_PTR)m->pParameter;
    at += sprintf(text + at, " pss %lx %lx %lx", (unsigned long)p->hashAlg, (unsigned long)p->mgf,
                  (unsigned long)p->sLen);
  }
  for (CK_ULONG i = 0; i < count && at < 3000; i++) {
    at += sprintf(text + at, " %lx=", (unsigned long)t[i].type);
    at += hex(text + at, (CK_BYTE_PTR)t[i].pValue, t[i].ulValueLen);
  }
}

static CK_RV C_UnwrapKey_(CK_SESSION_HANDLE, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE, CK_BYTE_PTR,
                          CK_ULONG length, CK_ATTRIBUTE_PTR t, CK_ULONG count,
                          CK_OBJECT_HANDLE_PTR made) {
  see(m, t, count);
  *made = length;
  return CKR_OK;
}

static CK_RV C_DeriveKey_(CK_SESSION_HANDLE, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE,
                          CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR made) {
  see(m, t, count);
  *made = count;
  return CKR_OK;
}

static CK_RV C_DecryptInit_(CK_SESSION_HANDLE, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE) {
  see(m, 0, 0);
  return CKR_OK;
}

extern "C" const char *seen() { return text; }

#define SIZE(type) at += sprintf(text + at, #type " %lu\n", (unsigned long)sizeof(type));
#define OFFSET(type, member) \
  at += sprintf(text + at, #type "." #member " %lu\n", (unsigned long)offsetof(type, member));

// Sizes and offsets as the compiler has them.
extern "C" const char *layout() {
  size_t at = 0;
  SIZE(CK_INFO) OFFSET(CK_INFO, libraryVersion) OFFSET(CK_INFO, libraryDescription)
  SIZE(CK_SLOT_INFO) OFFSET(CK_SLOT_INFO, flags)
  SIZE(CK_TOKEN_INFO) OFFSET(CK_TOKEN_INFO, flags) OFFSET(CK_TOKEN_INFO, ulMinPinLen)
  OFFSET(CK_TOKEN_INFO, firmwareVersion)
  SIZE(CK_SESSION_INFO) OFFSET(CK_SESSION_INFO, state)
  SIZE(CK_MECHANISM_INFO) OFFSET(CK_MECHANISM_INFO, flags)
  SIZE(CK_ATTRIBUTE) OFFSET(CK_ATTRIBUTE, ulValueLen)
  SIZE(CK_MECHANISM) OFFSET(CK_MECHANISM, ulParameterLen)
  SIZE(CK_RSA_PKCS_OAEP_PARAMS) OFFSET(CK_RSA_PKCS_OAEP_PARAMS, pSourceData)
  SIZE(CK_RSA_PKCS_PSS_PARAMS) OFFSET(CK_RSA_PKCS_PSS_PARAMS, sLen)
  SIZE(CK_ECDH1_DERIVE_PARAMS) OFFSET(CK_ECDH1_DERIVE_PARAMS, pPublicData)
  return text;
}

extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR to) {
  list.C_Initialize = C_Initialize_;
  list.C_GetMechanismList = C_GetMechanismList_;
  list.C_OpenSession = C_OpenSession_;
  list.C_CloseSession = C_CloseSession_;
  list.C_FindObjects = C_FindObjects_;
  list.C_GetAttributeValue = C_GetAttributeValue_;
  list.C_DecryptInit = C_DecryptInit_;
  list.C_Decrypt = transform;
  list.C_SignInit = C_SignInit_;
  list.C_Sign = C_Sign_;
  list.C_UnwrapKey = C_UnwrapKey_;
  list.C_DeriveKey = C_DeriveKey_;
  *to = &list;
  return CKR_OK;
}
