// A PKCS#11 module with one slot and an empty token, for a platform that SoftHSM can't be had for.
#include <stdlib.h>
#include <string.h>

#include "cryptoki.h"

static CK_FUNCTION_LIST functions;

static void text(CK_UTF8CHAR *to, const char *from, size_t bytes) {
  memset(to, ' ', bytes);
  memcpy(to, from, strlen(from));
}

static CK_RV initialize(CK_VOID_PTR) { return CKR_OK; }

static CK_RV get_info(CK_INFO_PTR info) {
  memset(info, 0, sizeof *info);
  text(info->manufacturerID, "arm64", sizeof info->manufacturerID);
  text(info->libraryDescription, "a module for a test", sizeof info->libraryDescription);
  return CKR_OK;
}

static CK_RV get_slot_list(CK_BBOOL, CK_SLOT_ID_PTR list, CK_ULONG_PTR count) {
  if (list && *count < 1) return CKR_BUFFER_TOO_SMALL;
  if (list) list[0] = 7;
  *count = 1;
  return CKR_OK;
}

static CK_RV get_token_info(CK_SLOT_ID, CK_TOKEN_INFO_PTR info) {
  memset(info, 0, sizeof *info);
  text(info->label, "empty", sizeof info->label);
  info->flags = CKF_TOKEN_INITIALIZED;
  return CKR_OK;
}

static CK_RV open_session(CK_SLOT_ID, CK_FLAGS, CK_VOID_PTR, CK_NOTIFY,
                          CK_SESSION_HANDLE_PTR session) {
  *session = 5;
  return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE) { return CKR_OK; }

extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  functions.version = {2, 40};
  functions.C_Initialize = initialize;
  functions.C_Finalize = initialize;
  functions.C_GetInfo = get_info;
  functions.C_GetSlotList = get_slot_list;
  functions.C_GetTokenInfo = get_token_info;
  functions.C_OpenSession = open_session;
  functions.C_CloseSession = close_session;
  *list = &functions;
  return CKR_OK;
}
