// What makes one kind of token unlike another: functions that stand between the caller and the real
// module, and refuse or rewrite what the settings say. Without such settings they pass calls on.
#pragma once
#include <stdio.h>

#include <algorithm>

#include "pad.h"

namespace peculiar {

using Bytes = std::vector<CK_BYTE>;

inline CK_FUNCTION_LIST_PTR real;

struct Session {
  CK_SLOT_ID slot = 0;
  uint64_t epoch = 0;
  bool is_searching = false, is_stuck = false;
  std::vector<CK_OBJECT_HANDLE> found;
};

inline std::mutex lock;  // of what follows
inline std::map<CK_SESSION_HANDLE, Session> sessions;
inline std::set<CK_SLOT_ID> logged_in;

inline bool is_token(CK_SLOT_ID slot) {
  CK_TOKEN_INFO info;
  return real->C_GetTokenInfo(slot, &info) == CKR_OK && (info.flags & CKF_TOKEN_INITIALIZED);
}

inline std::vector<CK_SLOT_ID> real_slots() {
  CK_ULONG count = 0;
  if (real->C_GetSlotList(CK_TRUE, nullptr, &count) != CKR_OK) return {};
  std::vector<CK_SLOT_ID> all(count);
  if (real->C_GetSlotList(CK_TRUE, all.data(), &count) != CKR_OK) return {};
  all.resize(count);
  return all;
}

// ── Results as PKCS#11 gives them ──

template <typename T>
CK_RV give_list(const std::vector<T> &values, T *to, CK_ULONG_PTR count) {
  CK_ULONG room = *count;
  *count = values.size();
  if (!to) return CKR_OK;
  if (room < values.size()) return CKR_BUFFER_TOO_SMALL;
  std::copy(values.begin(), values.end(), to);
  return CKR_OK;
}

inline CK_RV give_value(const Bytes &value, CK_ATTRIBUTE_PTR to) {
  if (to->pValue && to->ulValueLen < value.size()) {
    to->ulValueLen = (CK_ULONG)-1;
    return CKR_BUFFER_TOO_SMALL;
  }
  if (to->pValue) std::copy(value.begin(), value.end(), (CK_BYTE_PTR)to->pValue);
  to->ulValueLen = value.size();
  return CKR_OK;
}

inline void give_text(const std::string &text, CK_UTF8CHAR *to, size_t bytes) {
  if (text.empty()) return;
  for (size_t i = 0; i < bytes; i++) to[i] = i < text.size() ? text[i] : ' ';
}

// ── Start, slots and tokens ──

inline CK_RV C_Initialize(CK_VOID_PTR arguments) {
  auto s = settings::now();
  // The environment belongs to all threads. Every copy of this library has the same `stdin`, so its
  // lock keeps two of them apart.
  flockfile(stdin);
  const char *before = getenv("SOFTHSM2_CONF");
  std::string kept = before ? before : "";
  if (!s->softhsm_conf.empty()) setenv("SOFTHSM2_CONF", s->softhsm_conf.c_str(), 1);
  CK_RV rv = real->C_Initialize(arguments);
  if (before) setenv("SOFTHSM2_CONF", kept.c_str(), 1);
  else unsetenv("SOFTHSM2_CONF");
  funlockfile(stdin);
  return rv;
}

inline CK_RV C_Finalize(CK_VOID_PTR reserved) {
  CK_RV rv = real->C_Finalize(reserved);
  std::lock_guard<std::mutex> held(lock);
  sessions.clear();
  logged_in.clear();
  return rv;
}

inline CK_RV C_GetInfo(CK_INFO_PTR info) {
  CK_RV rv = real->C_GetInfo(info);
  auto s = settings::now();
  if (rv != CKR_OK) return rv;
  give_text(s->library_manufacturer, info->manufacturerID, sizeof info->manufacturerID);
  give_text(s->library_description, info->libraryDescription, sizeof info->libraryDescription);
  return rv;
}

inline CK_RV C_GetSlotList(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count) {
  auto s = settings::now();
  if (!count) return CKR_ARGUMENTS_BAD;
  CK_ULONG all = 0;
  CK_RV rv = real->C_GetSlotList(present, nullptr, &all);
  if (rv != CKR_OK) return rv;
  std::vector<CK_SLOT_ID> shown;
  for (CK_SLOT_ID slot : real_slots()) {
    bool has_token = is_token(slot);
    if (s->one_slot && !has_token) continue;
    if (!s->present && present && has_token) continue;
    shown.push_back(slot);
  }
  return give_list(shown, list, count);
}

inline CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info) {
  auto s = settings::now();
  CK_RV rv = real->C_GetSlotInfo(slot, info);
  if (rv != CKR_OK) return rv;
  info->flags |= s->slot_flags;
  if (!s->present && is_token(slot)) info->flags &= ~CKF_TOKEN_PRESENT;
  return rv;
}

inline CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  auto s = settings::now();
  CK_RV rv = real->C_GetTokenInfo(slot, info);
  if (rv != CKR_OK) return rv;
  info->flags &= ~s->hidden_flags;
  info->flags |= s->token_flags | (s->pad ? CKF_PROTECTED_AUTHENTICATION_PATH : 0);
  give_text(s->manufacturer, info->manufacturerID, sizeof info->manufacturerID);
  give_text(s->model, info->model, sizeof info->model);
  return rv;
}

inline CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR slot, CK_VOID_PTR reserved) {
  static uint64_t last = 0;
  if (!(flags & CKF_DONT_BLOCK)) return real->C_WaitForSlotEvent(flags, slot, reserved);
  auto s = settings::now();
  std::lock_guard<std::mutex> held(lock);
  uint64_t event = 2 * s->epoch - (s->present ? 0 : 1);
  if (event == last) return CKR_NO_EVENT;
  last = event;
  for (CK_SLOT_ID one : real_slots()) {
    if (!is_token(one)) continue;
    *slot = one;
    return CKR_OK;
  }
  return CKR_NO_EVENT;
}

// ── Mechanisms ──

inline bool is_hidden(const Settings &s, CK_SLOT_ID slot, CK_MECHANISM_TYPE type) {
  CK_TOKEN_INFO info;
  if (!s.unlisted_on.empty() && real->C_GetTokenInfo(slot, &info) == CKR_OK &&
      !strncmp((const char *)info.label, s.unlisted_on.c_str(), s.unlisted_on.size()))
    return true;
  return s.hidden_mechanisms.count(type) != 0;
}

inline CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count) {
  auto s = settings::now();
  if (!count) return CKR_ARGUMENTS_BAD;
  CK_ULONG all = 0;
  CK_RV rv = real->C_GetMechanismList(slot, nullptr, &all);
  std::vector<CK_MECHANISM_TYPE> types(all), shown;
  if (rv == CKR_OK) rv = real->C_GetMechanismList(slot, types.data(), &all);
  if (rv != CKR_OK) return rv;
  for (auto type : types)
    if (!is_hidden(*s, slot, type)) shown.push_back(type);
  return give_list(shown, list, count);
}

inline CK_RV C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info) {
  auto s = settings::now();
  if (is_hidden(*s, slot, type)) return CKR_MECHANISM_INVALID;
  CK_RV rv = real->C_GetMechanismInfo(slot, type, info);
  if (rv != CKR_OK) return rv;
  auto uses = s->hidden_uses.find(type);
  if (uses != s->hidden_uses.end()) info->flags &= ~uses->second;
  auto most = s->largest.find(type);
  if (most != s->largest.end()) info->ulMaxKeySize = std::min(info->ulMaxKeySize, most->second);
  return rv;
}

// Why a mechanism is not for this use; CKR_OK if it is.
inline CK_RV refusal(const Settings &s, CK_MECHANISM_PTR mechanism, CK_FLAGS use) {
  if (!mechanism) return CKR_OK;
  auto uses = s.hidden_uses.find(mechanism->mechanism);
  if (s.hidden_mechanisms.count(mechanism->mechanism)) return CKR_MECHANISM_INVALID;
  if (uses != s.hidden_uses.end() && (uses->second & use)) return CKR_MECHANISM_INVALID;
  if (mechanism->mechanism == CKM_RSA_PKCS_OAEP && mechanism->pParameter &&
      s.refused_hashes.count(((CK_RSA_PKCS_OAEP_PARAMS *)mechanism->pParameter)->hashAlg))
    return CKR_MECHANISM_PARAM_INVALID;
  return CKR_OK;
}

// ── Sessions ──

inline CK_RV C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application,
                           CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session) {
  auto s = settings::now();
  CK_RV rv = real->C_OpenSession(slot, flags, application, notify, session);
  if (rv != CKR_OK) return rv;
  std::lock_guard<std::mutex> held(lock);
  sessions[*session] = Session();
  sessions[*session].slot = slot;
  sessions[*session].epoch = s->epoch;
  return rv;
}

inline CK_RV C_CloseSession(CK_SESSION_HANDLE session) {
  CK_RV rv = real->C_CloseSession(session);
  std::lock_guard<std::mutex> held(lock);
  auto known = sessions.find(session);
  if (known == sessions.end()) return rv;
  CK_SLOT_ID slot = known->second.slot;
  sessions.erase(known);
  bool is_last = std::none_of(sessions.begin(), sessions.end(),
                              [&](auto &one) { return one.second.slot == slot; });
  if (is_last) logged_in.erase(slot);
  return rv;
}

inline CK_RV C_CloseAllSessions(CK_SLOT_ID slot) {
  CK_RV rv = real->C_CloseAllSessions(slot);
  std::lock_guard<std::mutex> held(lock);
  for (auto one = sessions.begin(); one != sessions.end();)
    one = one->second.slot == slot ? sessions.erase(one) : std::next(one);
  logged_in.erase(slot);
  return rv;
}

inline CK_SLOT_ID slot_of(CK_SESSION_HANDLE session) {
  auto known = sessions.find(session);
  return known == sessions.end() ? (CK_SLOT_ID)-1 : known->second.slot;
}

inline CK_RV C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin,
                     CK_ULONG bytes) {
  auto s = settings::now();
  CK_RV rv;
  if (!s->pad) rv = real->C_Login(session, user, pin, bytes);
  else if (pin || bytes) return CKR_ARGUMENTS_BAD;
  else
    rv = pad::ask(*s, user == CKU_SO ? s->so_pin : s->pin, [&](auto &typed, auto &) {
      return real->C_Login(session, user, pad::bytes(typed), typed.size());
    });
  std::lock_guard<std::mutex> held(lock);
  if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) logged_in.insert(slot_of(session));
  return rv;
}

inline CK_RV C_Logout(CK_SESSION_HANDLE session) {
  CK_RV rv = real->C_Logout(session);
  std::lock_guard<std::mutex> held(lock);
  if (rv == CKR_OK) logged_in.erase(slot_of(session));
  return rv;
}

inline CK_RV C_InitToken(CK_SLOT_ID slot, CK_UTF8CHAR_PTR pin, CK_ULONG bytes,
                         CK_UTF8CHAR_PTR label) {
  auto s = settings::now();
  if (!s->pad) return real->C_InitToken(slot, pin, bytes, label);
  if (pin || bytes) return CKR_ARGUMENTS_BAD;
  return pad::ask(*s, s->so_pin, [&](auto &typed, auto &) {
    return real->C_InitToken(slot, pad::bytes(typed), typed.size(), label);
  });
}

inline CK_RV C_InitPIN(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR pin, CK_ULONG bytes) {
  auto s = settings::now();
  if (!s->pad) return real->C_InitPIN(session, pin, bytes);
  if (pin || bytes) return CKR_ARGUMENTS_BAD;
  return pad::ask(*s, s->pin, [&](auto &typed, auto &) {
    return real->C_InitPIN(session, pad::bytes(typed), typed.size());
  });
}

inline CK_RV C_SetPIN(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR pin, CK_ULONG bytes,
                      CK_UTF8CHAR_PTR new_pin, CK_ULONG new_bytes) {
  auto s = settings::now();
  if (!s->pad) return real->C_SetPIN(session, pin, bytes, new_pin, new_bytes);
  if (pin || bytes || new_pin || new_bytes) return CKR_ARGUMENTS_BAD;
  CK_SESSION_INFO info;
  CK_RV rv = real->C_GetSessionInfo(session, &info);
  if (rv != CKR_OK) return rv;
  const std::string &own = info.state == CKS_RW_SO_FUNCTIONS ? s->so_pin : s->pin;
  return pad::ask(*s, own, [&](auto &typed, auto &next) {
    return real->C_SetPIN(session, pad::bytes(typed), typed.size(), pad::bytes(next), next.size());
  });
}

inline bool has_login(CK_SESSION_HANDLE session) {
  std::lock_guard<std::mutex> held(lock);
  return logged_in.count(slot_of(session)) != 0;
}

// ── Objects ──

inline Bytes real_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
                        CK_RV *rv) {
  Bytes value(4096);
  CK_ATTRIBUTE one = {type, value.data(), value.size()};
  *rv = real->C_GetAttributeValue(session, object, &one, 1);
  value.resize(*rv == CKR_OK ? one.ulValueLen : 0);
  return value;
}

inline CK_OBJECT_CLASS class_of(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object) {
  CK_OBJECT_CLASS kind = (CK_OBJECT_CLASS)-1;
  CK_ATTRIBUTE one = {CKA_CLASS, &kind, sizeof kind};
  real->C_GetAttributeValue(session, object, &one, 1);
  return kind;
}

inline Bytes with_ending(const Settings &s, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                         Bytes label) {
  auto ending = s.label_endings.find(class_of(session, object));
  if (ending != s.label_endings.end())
    label.insert(label.end(), ending->second.begin(), ending->second.end());
  return label;
}

// A DER OCTET STRING's content; the same bytes where they are none.
inline Bytes content(const Bytes &der) {
  size_t header = der.size() > 2 && der[1] == 0x81 ? 3 : 2;
  if (der.size() <= header || der[0] != 0x04) return der;
  return der[header - 1] == der.size() - header ? Bytes(der.begin() + header, der.end()) : der;
}

inline Bytes wrapped(CK_BYTE tag, const Bytes &bytes) {
  Bytes out = {tag};
  if (bytes.size() > 127) out.push_back(0x81);
  out.push_back((CK_BYTE)bytes.size());
  out.insert(out.end(), bytes.begin(), bytes.end());
  return out;
}

// CKA_EC_POINT as some tokens encode it.
inline Bytes odd_point(const std::string &how, const Bytes &der) {
  Bytes point = content(der);
  bool is_uncompressed = point.size() % 2 == 1 && point[0] == 4;
  if (how == "bare") return point;
  if (how == "bits") {
    point.insert(point.begin(), 0);
    return wrapped(0x03, point);
  }
  if (!is_uncompressed) return der;
  size_t half = point.size() / 2;
  if (how == "xy") return Bytes(point.begin() + 1, point.end());
  Bytes compressed(point.begin(), point.begin() + 1 + half);
  compressed[0] = 2 + (point.back() & 1);
  return wrapped(0x04, compressed);
}

// CKA_EC_PARAMS as a name (PKCS#11 v3.0 §2.3.3, curveName) instead of an OID.
inline Bytes named_curve(const Bytes &oid) {
  const std::pair<Bytes, std::string> names[] = {
      {{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, "secp256r1"},
      {{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, "secp384r1"},
      {{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}, "secp521r1"}};
  for (const auto &[der, name] : names)
    if (der == oid) return wrapped(0x13, Bytes(name.begin(), name.end()));
  return oid;
}

inline CK_RV C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                 CK_ATTRIBUTE_PTR wanted, CK_ULONG count) {
  auto s = settings::now();
  if (s->point.empty() && s->params.empty() && s->label_endings.empty())
    return real->C_GetAttributeValue(session, object, wanted, count);
  CK_RV result = CKR_OK;
  for (CK_ULONG i = 0; i < count; i++) {
    CK_ATTRIBUTE_PTR one = wanted + i;
    bool is_point = one->type == CKA_EC_POINT && !s->point.empty();
    bool is_params = one->type == CKA_EC_PARAMS && !s->params.empty();
    bool is_label = one->type == CKA_LABEL && !s->label_endings.empty();
    CK_RV rv;
    if (is_point || is_params || is_label) {
      Bytes value = real_value(session, object, one->type, &rv);
      if (is_point) value = odd_point(s->point, value);
      if (is_params) value = named_curve(value);
      if (is_label) value = with_ending(*s, session, object, value);
      if (rv == CKR_OK) rv = give_value(value, one);
      else one->ulValueLen = (CK_ULONG)-1;
    } else {
      rv = real->C_GetAttributeValue(session, object, one, 1);
    }
    if (rv != CKR_OK) result = rv;
  }
  return result;
}

inline bool searches_itself(const Settings &s) {
  return s.hidden_until_login || !s.label_endings.empty();
}

// All objects at once, without those that the settings hide.
inline CK_RV C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR wanted, CK_ULONG count) {
  auto s = settings::now();
  if (!searches_itself(*s)) return real->C_FindObjectsInit(session, wanted, count);
  std::vector<CK_ATTRIBUTE> asked;
  const CK_ATTRIBUTE *label = nullptr;
  for (CK_ULONG i = 0; i < count; i++) {
    if (wanted[i].type == CKA_LABEL && !s->label_endings.empty()) label = wanted + i;
    else asked.push_back(wanted[i]);
  }
  {
    std::lock_guard<std::mutex> held(lock);
    if (sessions[session].is_searching) return CKR_OPERATION_ACTIVE;
  }
  CK_RV rv = real->C_FindObjectsInit(session, asked.data(), asked.size());
  if (rv != CKR_OK) return rv;
  std::vector<CK_OBJECT_HANDLE> all, shown;
  for (;;) {
    CK_OBJECT_HANDLE some[64];
    CK_ULONG found = 0;
    if (real->C_FindObjects(session, some, 64, &found) != CKR_OK || found == 0) break;
    all.insert(all.end(), some, some + found);
  }
  real->C_FindObjectsFinal(session);
  bool hides = s->hidden_until_login && !has_login(session);
  for (CK_OBJECT_HANDLE object : all) {
    if (hides) break;
    CK_RV ignored;
    if (label && with_ending(*s, session, object,
                             real_value(session, object, CKA_LABEL, &ignored)) !=
                     Bytes((CK_BYTE_PTR)label->pValue,
                           (CK_BYTE_PTR)label->pValue + label->ulValueLen))
      continue;
    shown.push_back(object);
  }
  std::lock_guard<std::mutex> held(lock);
  sessions[session].is_searching = true;
  sessions[session].found = shown;
  return CKR_OK;
}

inline CK_RV C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG most,
                           CK_ULONG_PTR count) {
  if (!searches_itself(*settings::now()))
    return real->C_FindObjects(session, objects, most, count);
  std::lock_guard<std::mutex> held(lock);
  Session &own = sessions[session];
  if (!own.is_searching) return CKR_OPERATION_NOT_INITIALIZED;
  *count = std::min<CK_ULONG>(most, own.found.size());
  std::copy(own.found.begin(), own.found.begin() + *count, objects);
  own.found.erase(own.found.begin(), own.found.begin() + *count);
  return CKR_OK;
}

inline CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE session) {
  if (!searches_itself(*settings::now())) return real->C_FindObjectsFinal(session);
  std::lock_guard<std::mutex> held(lock);
  if (!sessions[session].is_searching) return CKR_OPERATION_NOT_INITIALIZED;
  sessions[session].is_searching = false;
  return CKR_OK;
}
}  // namespace peculiar
