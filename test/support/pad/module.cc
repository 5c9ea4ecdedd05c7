// A PKCS#11 module for tests: SoftHSM (PAD_MODULE) in a reader with a PIN pad. Its tokens have
// CKF_PROTECTED_AUTHENTICATION_PATH, and it takes no PIN from the host. A person is played by the
// file PAD_PERSON, of which each login and each change of a PIN takes the first line: the
// milliseconds that it takes, and then "types PIN", "types OLD NEW", "returns VALUE" or "crashes".
// Without such a line the reader's time runs out. PAD_LOG is a file to which each call is appended,
// with "with a PIN" where the host gave one. PAD_FLAGS are further flags of tokens.
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "pkcs11.h"

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST ours;

struct Act {
  int milliseconds = 0;
  std::string verb = "returns", first = "0x50", second;
};

static Act next_act() {
  Act act;
  const char *path = getenv("PAD_PERSON");
  if (!path) return act;
  std::ifstream in(path);
  std::string line, rest;
  if (!std::getline(in, line)) return act;
  std::stringstream others;
  others << in.rdbuf();
  in.close();
  std::ofstream(path, std::ios::trunc) << others.str();
  act = Act{0, "", "", ""};
  std::stringstream(line) >> act.milliseconds >> act.verb >> act.first >> act.second;
  return act;
}

static void note(const std::string &call, bool has_pin) {
  const char *path = getenv("PAD_LOG");
  if (path) std::ofstream(path, std::ios::app) << call << (has_pin ? " with a PIN" : "") << "\n";
}

static CK_UTF8CHAR_PTR chars(std::string &text) { return (CK_UTF8CHAR_PTR)&text[0]; }

// What the person does; `use` gets what they type.
template <typename Use>
static CK_RV ask(Use use) {
  Act act = next_act();
  usleep(act.milliseconds * 1000);
  if (act.verb == "types") return use(act.first, act.second);
  if (act.verb == "crashes") raise(SIGSEGV);
  return strtoul(act.first.c_str(), 0, 0);
}

static CK_RV pad_C_GetTokenInfo(CK_SLOT_ID s, CK_TOKEN_INFO_PTR i) {
  CK_RV rv = real->C_GetTokenInfo(s, i);
  const char *flags = getenv("PAD_FLAGS");
  if (rv == CKR_OK) i->flags |= CKF_PROTECTED_AUTHENTICATION_PATH | (flags ? strtoul(flags, 0, 0) : 0);
  return rv;
}

static CK_RV pad_C_Login(CK_SESSION_HANDLE h, CK_USER_TYPE u, CK_UTF8CHAR_PTR p, CK_ULONG l) {
  const char *who = u == CKU_SO ? "SO" : u == CKU_USER ? "user" : "use";
  note(std::string("C_Login ") + who, p != 0 || l != 0);
  if (p || l) return CKR_ARGUMENTS_BAD;
  return ask([&](std::string pin, std::string) {
    return real->C_Login(h, u, chars(pin), pin.size());
  });
}

static CK_RV pad_C_InitPIN(CK_SESSION_HANDLE h, CK_UTF8CHAR_PTR p, CK_ULONG l) {
  note("C_InitPIN", p != 0 || l != 0);
  if (p || l) return CKR_ARGUMENTS_BAD;
  return ask([&](std::string pin, std::string) {
    return real->C_InitPIN(h, chars(pin), pin.size());
  });
}

static CK_RV pad_C_SetPIN(CK_SESSION_HANDLE h, CK_UTF8CHAR_PTR o, CK_ULONG ol, CK_UTF8CHAR_PTR n,
                          CK_ULONG nl) {
  note("C_SetPIN", o != 0 || ol != 0 || n != 0 || nl != 0);
  if (o || ol || n || nl) return CKR_ARGUMENTS_BAD;
  return ask([&](std::string from, std::string to) {
    return real->C_SetPIN(h, chars(from), from.size(), chars(to), to.size());
  });
}

extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  const char *path = getenv("PAD_MODULE");
  void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : 0;
  CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : 0;
  if (!get || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  ours = *real;
  ours.C_GetTokenInfo = pad_C_GetTokenInfo;
  ours.C_Login = pad_C_Login;
  ours.C_InitPIN = pad_C_InitPIN;
  ours.C_SetPIN = pad_C_SetPIN;
  *list = &ours;
  return CKR_OK;
}
