// A PKCS#11 library over a real one, for tests. Every function passes through here: it is written
// to a log, fails if a fault is due, and fails if the token was pulled. What makes one kind of
// token unlike another is in peculiar.h and uses.h; what to do is in a file (settings.h).
//
// Each test token has a copy of this library in a folder of its own, and each copy loads a copy of
// SoftHSM: so one process can have several tokens, and none needs the environment. Another module
// is loaded as it is, since it may look for files beside itself.
#include <signal.h>

#include <tuple>
#include <type_traits>

#include "log.h"
#include "uses.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

using peculiar::real;

static CK_FUNCTION_LIST inner;  // the real functions, or the peculiar ones
static CK_FUNCTION_LIST outer;  // what the caller gets

static bool is(const char *function, const char *name) { return strcmp(function, name) == 0; }

static bool is_of_slot(const char *function) {
  for (const char *one : {"C_GetSlotInfo", "C_GetTokenInfo", "C_GetMechanismList",
                          "C_GetMechanismInfo", "C_InitToken", "C_OpenSession",
                          "C_CloseAllSessions"})
    if (is(function, one)) return true;
  return false;
}

// ── Pulled and inserted ──

// Forgets what a token that was pulled knew: its sessions and the login.
static void notice_removal(const Settings &s) {
  static std::mutex noticing;
  static bool is_first = true;
  static uint64_t epoch;
  std::lock_guard<std::mutex> held(noticing);
  const bool is_same = is_first || epoch == s.epoch;
  is_first = false;
  epoch = s.epoch;
  if (is_same) return;
  for (CK_SLOT_ID slot : peculiar::real_slots()) real->C_CloseAllSessions(slot);
  std::lock_guard<std::mutex> also(peculiar::lock);
  peculiar::logged_in.clear();
}

static CK_RV removal(const Settings &s, const char *function, CK_ULONG first) {
  notice_removal(s);
  if (is(function, "C_WaitForSlotEvent")) return CKR_OK;
  if (is_of_slot(function)) {
    bool needs_token = !is(function, "C_GetSlotInfo") && !is(function, "C_CloseAllSessions");
    return !s.present && needs_token && peculiar::is_token(first) ? CKR_TOKEN_NOT_PRESENT : CKR_OK;
  }
  std::lock_guard<std::mutex> held(peculiar::lock);
  auto known = peculiar::sessions.find(first);
  bool is_old = known != peculiar::sessions.end() && known->second.epoch != s.epoch;
  return is_old ? CKR_SESSION_HANDLE_INVALID : CKR_OK;
}

template <typename First, typename... Rest>
CK_RV removed(const Settings &s, const char *function, First first, Rest...) {
  if constexpr (std::is_same_v<First, CK_ULONG>) return removal(s, function, first);
  else return CKR_OK;
}

// ── Faults ──

// Whether C_GetAttributeValue asks for this one attribute's value, not just for its length.
static bool asks_for(const Fault &f, CK_ATTRIBUTE_PTR wanted, CK_ULONG count) {
  return count == 1 && wanted->pValue && (f.any_attribute || wanted->type == f.attribute);
}

using GetsAttributes = std::tuple<CK_ULONG, CK_ULONG, CK_ATTRIBUTE_PTR, CK_ULONG>;
using GetsObjects = std::tuple<CK_ULONG, CK_ULONG_PTR, CK_ULONG, CK_ULONG_PTR>;
using GetsSlots = std::tuple<CK_BBOOL, CK_ULONG_PTR, CK_ULONG_PTR>;
using GetsMechanisms = std::tuple<CK_ULONG, CK_ULONG_PTR, CK_ULONG_PTR>;

// False for a call that only asks how long the result will be.
template <typename... A>
bool takes_result(A... arguments) {
  auto all = std::tuple(arguments...);
  constexpr size_t n = sizeof...(A);
  if constexpr (std::is_same_v<decltype(all), GetsSlots> ||
                std::is_same_v<decltype(all), GetsMechanisms>) {
    return std::get<1>(all) != nullptr;
  } else if constexpr (n >= 2) {
    using Last = std::tuple_element_t<n - 1, decltype(all)>;
    if constexpr (std::is_same_v<Last, CK_ULONG_PTR> &&
                  std::is_same_v<std::tuple_element_t<n - 2, decltype(all)>, CK_BYTE_PTR>)
      return std::get<n - 2>(all) != nullptr;
    else return true;
  } else {
    return true;
  }
}

template <typename... A>
bool concerns(const Fault &f, A... arguments) {
  bool is_of_result = f.action == "short" || f.action == "wrong";
  if constexpr (std::is_same_v<std::tuple<A...>, GetsAttributes>) {
    auto [session, object, wanted, count] = std::tuple(arguments...);
    if (f.function != "C_GetAttributeValue" || (f.any_attribute && !is_of_result)) return true;
    return asks_for(f, wanted, count);
  } else {
    return !is_of_result || takes_result(arguments...);
  }
}

template <typename... A>
const Fault *due(const Settings &s, const char *function, A... arguments) {
  const Fault *found = nullptr;
  for (const Fault &f : s.faults) {
    if (f.function != function || !concerns(f, arguments...)) continue;
    if (f.until_login) {
      std::lock_guard<std::mutex> held(peculiar::lock);
      if (!peculiar::logged_in.empty()) continue;
    }
    uint64_t number = settings::count(f.id);
    if (!found && number >= f.at && (f.times == 0 || number - f.at < f.times)) found = &f;
  }
  return found;
}

static void end_or_hang(const std::string &action) {
  if (action == "crash") {
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  }
  if (action == "abort") abort();
  if (action == "exit") _exit(3);
  if (action == "hang")
    for (;;) pause();
}

static bool never_returns(const std::string &action) {
  return action == "crash" || action == "abort" || action == "exit" || action == "hang";
}

// A handle that no object or session has.
static void alter(CK_ULONG_PTR handle, bool is_short) {
  if (handle) *handle = is_short ? CK_INVALID_HANDLE : *handle + 7919;
}

static void alter_text(CK_UTF8CHAR *text, size_t bytes, bool is_short) {
  size_t length = bytes;
  while (length > 0 && text[length - 1] == ' ') length--;
  if (length == 0) return;
  if (is_short) text[length - 1] = ' ';
  else text[0] = text[0] == 'x' ? 'y' : 'x';
}

static void alter_list(CK_ULONG_PTR list, CK_ULONG_PTR count, bool is_short) {
  if (!list || !count || *count == 0) return;
  if (is_short) *count -= 1;
  else list[0] += 7919;
}

template <typename... A>
void alter_last(bool is_short, A... arguments) {
  auto all = std::tuple(arguments...);
  constexpr size_t n = sizeof...(A);
  if constexpr (n >= 2) {
    auto last = std::get<n - 1>(all);
    auto before = std::get<n - 2>(all);
    if constexpr (std::is_same_v<decltype(last), CK_ULONG_PTR> &&
                  std::is_same_v<decltype(before), CK_BYTE_PTR>) {
      if (!before || !last || *last == 0) return;
      if (is_short) *last -= 1;
      else before[0] ^= 1;
    } else if constexpr (std::is_same_v<decltype(last), CK_ULONG_PTR>) {
      alter(last, is_short);
    }
  }
}

// Cuts or changes what a successful call gave back.
template <typename... A>
void alter_result(const char *function, bool is_short, A... arguments) {
  auto all = std::tuple(arguments...);
  using All = decltype(all);
  if constexpr (std::is_same_v<All, GetsAttributes>) {
    CK_ATTRIBUTE_PTR one = std::get<2>(all);
    if (!is(function, "C_GetAttributeValue") || one->ulValueLen == 0) return;
    if (is_short) one->ulValueLen -= 1;
    else ((CK_BYTE_PTR)one->pValue)[0] ^= 1;
  } else if constexpr (std::is_same_v<All, std::tuple<CK_SLOT_ID, CK_TOKEN_INFO_PTR>>) {
    alter_text(std::get<1>(all)->label, sizeof(CK_TOKEN_INFO::label), is_short);
  } else if constexpr (std::is_same_v<All, std::tuple<CK_SLOT_ID, CK_SLOT_INFO_PTR>>) {
    alter_text(std::get<1>(all)->slotDescription, sizeof(CK_SLOT_INFO::slotDescription), is_short);
  } else if constexpr (std::is_same_v<All, std::tuple<CK_INFO_PTR>>) {
    alter_text(std::get<0>(all)->libraryDescription, sizeof(CK_INFO::libraryDescription), is_short);
  } else if constexpr (std::is_same_v<All, std::tuple<CK_ULONG, CK_ULONG, CK_MECHANISM_INFO_PTR>>) {
    auto info = std::get<2>(all);
    if (is_short) info->ulMaxKeySize = info->ulMinKeySize;
    else info->flags = 0;
  } else if constexpr (std::is_same_v<All, GetsObjects>) {
    alter_list(std::get<1>(all), std::get<3>(all), is_short);  // C_FindObjects
  } else if constexpr (std::is_same_v<All, GetsSlots> || std::is_same_v<All, GetsMechanisms>) {
    alter_list(std::get<1>(all), std::get<2>(all), is_short);
  } else {
    alter_last(is_short, arguments...);
  }
}

// ── Every function ──

template <auto Member>
struct Outer;

template <typename... A, CK_RV (*CK_FUNCTION_LIST::*Member)(A...)>
struct Outer<Member> {
  static inline const char *name;

  static CK_RV call(A... arguments) {
    auto s = settings::now();
    const bool slot = is_of_slot(name);
    auto log = [&](const CK_RV *rv, const Fault *fault) {
      call_log::append(*s, name, slot, rv, fault, arguments...);
    };
    CK_RV rv = removed(*s, name, arguments...);
    const Fault *fault = rv == CKR_OK ? due(*s, name, arguments...) : nullptr;
    if (fault && never_returns(fault->action)) {
      log(nullptr, fault);
      end_or_hang(fault->action);
    }
    if (fault && fault->action == "slow") sleep_for(fault->value);
    if (fault && fault->action == "print") {
      printf("%s\n", name);
      fflush(stdout);
    }
    auto refused = s->refused.find(name);
    if (rv == CKR_OK && fault && fault->action == "rv") rv = fault->value;
    else if (rv == CKR_OK && refused != s->refused.end()) rv = refused->second;
    else if (rv == CKR_OK) {
      rv = (inner.*Member)(arguments...);
      if (rv == CKR_OK && fault && (fault->action == "short" || fault->action == "wrong"))
        alter_result(name, fault->action == "short", arguments...);
    }
    log(&rv, fault);
    return rv;
  }
};

// The real library from a copy of its file, so that it shares nothing with other tokens.
static void *load_copy(const std::string &path) {
  std::string copy = settings::folder + "/real-" + std::string(6, 'X');
  int to = mkstemp(copy.data());
  int from = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  bool done = to >= 0 && from >= 0;
  char block[65536];
  for (ssize_t read_now; done && (read_now = read(from, block, sizeof block)) != 0;)
    done = read_now > 0 && write(to, block, read_now) == read_now;
  if (to >= 0) close(to);
  if (from >= 0) close(from);
  void *library = done ? dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  unlink(copy.c_str());
  return library;
}

static CK_RV load() {
  settings::find_folder();
  auto s = settings::now();
  void *library = s->softhsm_conf.empty() ? dlopen(s->module.c_str(), RTLD_NOW | RTLD_LOCAL)
                                          : load_copy(s->module);
  auto get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : nullptr;
  if (!get || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
  inner = *real;
#define PECULIAR(name) inner.name = peculiar::name;
  PECULIAR(C_Initialize)
  PECULIAR(C_Finalize)
  PECULIAR(C_GetInfo)
  PECULIAR(C_GetSlotList)
  PECULIAR(C_GetSlotInfo)
  PECULIAR(C_GetTokenInfo)
  PECULIAR(C_WaitForSlotEvent)
  PECULIAR(C_GetMechanismList)
  PECULIAR(C_GetMechanismInfo)
  PECULIAR(C_InitToken)
  PECULIAR(C_InitPIN)
  PECULIAR(C_SetPIN)
  PECULIAR(C_OpenSession)
  PECULIAR(C_CloseSession)
  PECULIAR(C_CloseAllSessions)
  PECULIAR(C_Login)
  PECULIAR(C_Logout)
  PECULIAR(C_GetAttributeValue)
  PECULIAR(C_FindObjectsInit)
  PECULIAR(C_FindObjects)
  PECULIAR(C_FindObjectsFinal)
  PECULIAR(C_DecryptInit)
  PECULIAR(C_Decrypt)
  PECULIAR(C_SignInit)
  PECULIAR(C_UnwrapKey)
  PECULIAR(C_DeriveKey)
  PECULIAR(C_GenerateKeyPair)
  PECULIAR(C_CreateObject)
  outer = inner;
#define WATCHED(function, ...)                          \
  Outer<&CK_FUNCTION_LIST::function>::name = #function; \
  outer.function = Outer<&CK_FUNCTION_LIST::function>::call;
  CK_FUNCTIONS(WATCHED)
  return CKR_OK;
}

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  static std::mutex loading;
  static bool is_loaded = false;
  {
    std::lock_guard<std::mutex> held(loading);
    if (!is_loaded && load() != CKR_OK) return CKR_GENERAL_ERROR;
    is_loaded = true;
  }
  auto s = settings::now();
  const Fault *fault = due(*s, "C_GetFunctionList");
  CK_RV rv = fault && fault->action == "rv" ? fault->value : CKR_OK;
  bool returns = !fault || !never_returns(fault->action);
  call_log::append(*s, "C_GetFunctionList", false, returns ? &rv : nullptr, fault);
  if (!returns) end_or_hang(fault->action);
  if (rv != CKR_OK) return rv;
  outer.C_GetFunctionList = C_GetFunctionList;
  *list = &outer;
  return CKR_OK;
}
