// A PKCS#11 module for tests: SoftHSM (EVENTS_MODULE) as if in a reader, whose sessions outlast the
// card. That a card was pulled, or put in, only C_WaitForSlotEvent tells: once for each character
// in the file EVENTS_FILE, of the slot with the token EVENTS_TOKEN, or of no slot for "x". Where
// EVENTS_RV is set, the function returns that instead.
#include <dlfcn.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "pkcs11.h"

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST ours;

static CK_RV in_reader(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info) {
  CK_RV rv = real->C_GetSlotInfo(slot, info);
  if (rv == CKR_OK) info->flags |= CKF_REMOVABLE_DEVICE;
  return rv;
}

static CK_RV tell_event(CK_FLAGS flags, CK_SLOT_ID_PTR slot, CK_VOID_PTR) {
  static size_t told = 0;
  // Whoever waits holds up the test, as it would the end of a process.
  if (!(flags & CKF_DONT_BLOCK)) abort();
  if (const char *rv = getenv("EVENTS_RV")) return strtoul(rv, 0, 0);
  std::ifstream in(getenv("EVENTS_FILE"));
  std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (told >= all.size()) return CKR_NO_EVENT;
  if (all[told++] == 'x') return *slot = 0xfffff, CKR_OK;
  std::vector<CK_SLOT_ID> slots(1000);
  CK_ULONG count = slots.size();
  if (real->C_GetSlotList(CK_TRUE, slots.data(), &count) != CKR_OK) return CKR_GENERAL_ERROR;
  const std::string label = getenv("EVENTS_TOKEN");
  for (CK_ULONG i = 0; i < count; i++) {
    CK_TOKEN_INFO info;
    if (real->C_GetTokenInfo(slots[i], &info) != CKR_OK) continue;
    if (label.compare(0, label.size(), (char *)info.label, label.size()) != 0) continue;
    *slot = slots[i];
    return CKR_OK;
  }
  return CKR_GENERAL_ERROR;
}

extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  const char *path = getenv("EVENTS_MODULE");
  void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : 0;
  CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : 0;
  if (!get || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  ours = *real;
  ours.C_GetSlotInfo = in_reader;
  ours.C_WaitForSlotEvent = tell_event;
  *list = &ours;
  return CKR_OK;
}
