// Loads a PKCS#11 module, and prints what some calls return: a line each.
#include <dlfcn.h>
#include <stdio.h>

#include "cryptoki.h"

int main(int, char **argv) {
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    printf("%s\n", dlerror());
    return 1;
  }
  auto get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
  CK_FUNCTION_LIST_PTR all;
  printf("C_GetFunctionList %lx\n", get ? get(&all) : CKR_GENERAL_ERROR);
  printf("C_Initialize %lx\n", all->C_Initialize(nullptr));
  CK_INFO info;
  for (int i = 0; i < 2; i++) {
    CK_RV rv = all->C_GetInfo(&info);
    printf("C_GetInfo %lx %.16s\n", rv, rv == CKR_OK ? (char *)info.libraryDescription : "");
  }
  CK_SLOT_ID slot = 0;
  CK_ULONG count = 1;
  printf("C_GetSlotList %lx", all->C_GetSlotList(CK_TRUE, &slot, &count));
  printf(" %lu %lu\n", count, slot);
  CK_TOKEN_INFO token;
  printf("C_GetTokenInfo %lx", all->C_GetTokenInfo(slot, &token));
  printf(" %.5s %.7s\n", token.label, token.manufacturerID);
  CK_SESSION_HANDLE session = 0;
  printf("C_OpenSession %lx", all->C_OpenSession(slot, 4, nullptr, nullptr, &session));
  printf(" %lu\n", session);
  CK_OBJECT_HANDLE made;
  printf("C_CreateObject %lx\n", all->C_CreateObject(session, nullptr, 0, &made));
  printf("C_CloseSession %lx\n", all->C_CloseSession(session));
  printf("C_Finalize %lx\n", all->C_Finalize(nullptr));
  return 0;
}
