// A PKCS#11 module for tests. It passes all calls to a real module (FAULTY_MODULE), except for the
// function that FAULTY_FUNCTION names. That one does what FAULTY_HOW says: crash, abort, exit,
// hang, short or wrong (an attribute's value is cut or altered), or return a value given as a
// number. With FAULTY_ONCE it does so only while that file exists, and deletes it. FAULTY_SKIP is
// the number of calls that succeed first. With FAULTY_UNTIL_LOGIN all calls succeed after a login.
// FAULTY_ATTRIBUTE is the number of the attribute that is cut or altered, CKA_VALUE by default.
// On tokens whose labels begin with FAULTY_UNLISTED the module says of every mechanism that it is
// not there, and has it all the same. With FAULTY_OPTIONAL_LOGIN tokens lack CKF_LOGIN_REQUIRED. FAULTY_HIDDEN_FLAGS are flags of tokens that it keeps to itself.
// FAULTY_CALLS is a file to which the name of each function called is appended.
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pkcs11.h"

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST ours;
static int calls;
static bool logged_in;

static void note(const char *function) {
  const char *path = getenv("FAULTY_CALLS");
  FILE *file = path ? fopen(path, "a") : 0;
  if (!file) return;
  fprintf(file, "%s\n", function);
  fclose(file);
}

// True if this call must fail.
static bool is_due(const char *function) {
  note(function);
  const char *wanted = getenv("FAULTY_FUNCTION");
  if (!wanted || strcmp(wanted, function) != 0) return false;
  if (logged_in && getenv("FAULTY_UNTIL_LOGIN")) return false;
  const char *skip = getenv("FAULTY_SKIP");
  if (calls++ < (skip ? atoi(skip) : 0)) return false;
  const char *once = getenv("FAULTY_ONCE");
  return !once || unlink(once) == 0;
}

static CK_RV go_wrong() {
  const char *how = getenv("FAULTY_HOW");
  if (!strcmp(how, "crash")) raise(SIGSEGV);
  if (!strcmp(how, "abort")) abort();
  if (!strcmp(how, "exit")) _exit(3);
  if (!strcmp(how, "hang")) for (;;) pause();
  return strtoul(how, 0, 0);
}

#define FAULTY(name, parameters, arguments) \
  static CK_RV faulty_##name parameters {   \
    if (is_due(#name)) return go_wrong();   \
    return real->name arguments;            \
  }

FAULTY(C_Initialize, (CK_VOID_PTR a), (a))
FAULTY(C_GetSlotList, (CK_BBOOL p, CK_SLOT_ID_PTR l, CK_ULONG_PTR c), (p, l, c))
FAULTY(C_OpenSession,
       (CK_SLOT_ID s, CK_FLAGS f, CK_VOID_PTR a, CK_NOTIFY n, CK_SESSION_HANDLE_PTR h),
       (s, f, a, n, h))
FAULTY(C_FindObjectsInit, (CK_SESSION_HANDLE h, CK_ATTRIBUTE_PTR t, CK_ULONG c), (h, t, c))
FAULTY(C_UnwrapKey,
       (CK_SESSION_HANDLE h, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k, CK_BYTE_PTR w, CK_ULONG l,
        CK_ATTRIBUTE_PTR t, CK_ULONG c, CK_OBJECT_HANDLE_PTR o),
       (h, m, k, w, l, t, c, o))
FAULTY(C_DeriveKey,
       (CK_SESSION_HANDLE h, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k, CK_ATTRIBUTE_PTR t, CK_ULONG c,
        CK_OBJECT_HANDLE_PTR o),
       (h, m, k, t, c, o))
FAULTY(C_Sign,
       (CK_SESSION_HANDLE h, CK_BYTE_PTR d, CK_ULONG l, CK_BYTE_PTR s, CK_ULONG_PTR n),
       (h, d, l, s, n))
FAULTY(C_DecryptInit, (CK_SESSION_HANDLE h, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (h, m, k))
FAULTY(C_SignInit, (CK_SESSION_HANDLE h, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (h, m, k))
FAULTY(C_DestroyObject, (CK_SESSION_HANDLE h, CK_OBJECT_HANDLE o), (h, o))
FAULTY(C_SetPIN,
       (CK_SESSION_HANDLE h, CK_UTF8CHAR_PTR o, CK_ULONG ol, CK_UTF8CHAR_PTR n, CK_ULONG nl),
       (h, o, ol, n, nl))
FAULTY(C_InitPIN, (CK_SESSION_HANDLE h, CK_UTF8CHAR_PTR p, CK_ULONG l), (h, p, l))
FAULTY(C_Finalize, (CK_VOID_PTR r), (r))

static CK_RV faulty_C_GetTokenInfo(CK_SLOT_ID s, CK_TOKEN_INFO_PTR i) {
  if (is_due("C_GetTokenInfo")) return go_wrong();
  CK_RV rv = real->C_GetTokenInfo(s, i);
  const char *hidden = getenv("FAULTY_HIDDEN_FLAGS");
  if (rv == CKR_OK && hidden) i->flags &= ~strtoul(hidden, 0, 0);
  if (rv == CKR_OK && getenv("FAULTY_OPTIONAL_LOGIN")) i->flags &= ~CKF_LOGIN_REQUIRED;
  return rv;
}

static CK_RV faulty_C_GetMechanismInfo(CK_SLOT_ID s, CK_MECHANISM_TYPE m, CK_MECHANISM_INFO_PTR i) {
  const char *label = getenv("FAULTY_UNLISTED");
  CK_TOKEN_INFO token;
  if (label && real->C_GetTokenInfo(s, &token) == CKR_OK &&
      !strncmp((const char *)token.label, label, strlen(label)))
    return CKR_MECHANISM_INVALID;
  return real->C_GetMechanismInfo(s, m, i);
}

static CK_RV faulty_C_Login(CK_SESSION_HANDLE h, CK_USER_TYPE u, CK_UTF8CHAR_PTR p, CK_ULONG l) {
  if (is_due("C_Login")) return go_wrong();
  CK_RV rv = real->C_Login(h, u, p, l);
  if (rv == CKR_OK) logged_in = true;
  return rv;
}

static CK_RV faulty_C_GetAttributeValue(CK_SESSION_HANDLE h, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t,
                                        CK_ULONG c) {
  CK_RV rv = real->C_GetAttributeValue(h, o, t, c);
  const char *how = getenv("FAULTY_HOW");
  const char *attribute = getenv("FAULTY_ATTRIBUTE");
  CK_ATTRIBUTE_TYPE type = attribute ? strtoul(attribute, 0, 0) : CKA_VALUE;
  if (rv != CKR_OK || c != 1 || t->type != type || !t->pValue) return rv;
  if (!is_due("C_GetAttributeValue")) return rv;
  if (!strcmp(how, "short")) t->ulValueLen -= 1;
  else if (!strcmp(how, "wrong")) ((CK_BYTE_PTR)t->pValue)[0] ^= 1;
  else return go_wrong();
  return rv;
}

extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  const char *path = getenv("FAULTY_MODULE");
  void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : 0;
  CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : 0;
  if (!get || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  if (is_due("C_GetFunctionList")) return go_wrong();
  ours = *real;
  ours.C_Initialize = faulty_C_Initialize;
  ours.C_GetSlotList = faulty_C_GetSlotList;
  ours.C_GetTokenInfo = faulty_C_GetTokenInfo;
  ours.C_OpenSession = faulty_C_OpenSession;
  ours.C_Login = faulty_C_Login;
  ours.C_FindObjectsInit = faulty_C_FindObjectsInit;
  ours.C_UnwrapKey = faulty_C_UnwrapKey;
  ours.C_DeriveKey = faulty_C_DeriveKey;
  ours.C_Sign = faulty_C_Sign;
  ours.C_DecryptInit = faulty_C_DecryptInit;
  ours.C_SignInit = faulty_C_SignInit;
  ours.C_GetMechanismInfo = faulty_C_GetMechanismInfo;
  ours.C_DestroyObject = faulty_C_DestroyObject;
  ours.C_SetPIN = faulty_C_SetPIN;
  ours.C_InitPIN = faulty_C_InitPIN;
  ours.C_Finalize = faulty_C_Finalize;
  ours.C_GetAttributeValue = faulty_C_GetAttributeValue;
  *list = &ours;
  return CKR_OK;
}
