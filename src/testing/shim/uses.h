// The peculiarities of tokens where keys are made and used: what they refuse of mechanisms and
// templates.
#pragma once
#include "peculiar.h"

namespace peculiar {

// The template without what is not passed on. Returns why it is refused, or CKR_OK.
inline CK_RV judged(const Settings &s, const char *function, CK_ATTRIBUTE_PTR given, CK_ULONG count,
                    std::vector<CK_ATTRIBUTE> &passed) {
  passed.assign(given, given + count);
  for (const TemplateRule &rule : s.templates) {
    if (rule.function != function) continue;
    auto at = std::find_if(passed.begin(), passed.end(),
                           [&](auto &one) { return one.type == rule.attribute; });
    bool is_there = at != passed.end();
    if (is_there ? rule.what == "refuse" : rule.what == "need") return rule.rv;
    if (is_there && rule.what == "drop") passed.erase(at);
  }
  return CKR_OK;
}

// True for an OCTET STRING around a point, not for the point itself.
inline bool is_der_point(const CK_ECDH1_DERIVE_PARAMS &how) {
  Bytes peer(how.pPublicData, how.pPublicData + how.ulPublicDataLen);
  Bytes inside = content(peer);
  return inside.size() < peer.size() && inside.size() % 2 == 1 && inside[0] == 4;
}

inline CK_RV C_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR how, CK_OBJECT_HANDLE key) {
  auto s = settings::now();
  {
    std::lock_guard<std::mutex> held(lock);
    if (s->stuck && sessions[session].is_stuck) return CKR_OPERATION_ACTIVE;
  }
  CK_RV rv = refusal(*s, how, CKF_DECRYPT);
  return rv == CKR_OK ? real->C_DecryptInit(session, how, key) : rv;
}

inline CK_RV C_Decrypt(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG bytes, CK_BYTE_PTR out,
                       CK_ULONG_PTR room) {
  CK_RV rv = real->C_Decrypt(session, in, bytes, out, room);
  std::lock_guard<std::mutex> held(lock);
  if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL) sessions[session].is_stuck = true;
  return rv;
}

inline CK_RV C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR how, CK_OBJECT_HANDLE key) {
  CK_RV rv = refusal(*settings::now(), how, CKF_SIGN);
  return rv == CKR_OK ? real->C_SignInit(session, how, key) : rv;
}

inline CK_RV C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR how, CK_OBJECT_HANDLE key,
                         CK_BYTE_PTR in, CK_ULONG bytes, CK_ATTRIBUTE_PTR given, CK_ULONG count,
                         CK_OBJECT_HANDLE_PTR made) {
  auto s = settings::now();
  std::vector<CK_ATTRIBUTE> passed;
  CK_RV rv = refusal(*s, how, CKF_UNWRAP);
  if (rv == CKR_OK) rv = judged(*s, "C_UnwrapKey", given, count, passed);
  if (rv != CKR_OK) return rv;
  return real->C_UnwrapKey(session, how, key, in, bytes, passed.data(), passed.size(), made);
}

inline CK_RV C_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR how, CK_OBJECT_HANDLE key,
                         CK_ATTRIBUTE_PTR given, CK_ULONG count, CK_OBJECT_HANDLE_PTR made) {
  auto s = settings::now();
  std::vector<CK_ATTRIBUTE> passed;
  CK_RV rv = refusal(*s, how, CKF_DERIVE);
  if (rv == CKR_OK && how && how->mechanism == CKM_ECDH1_DERIVE && how->pParameter) {
    auto &ecdh = *(CK_ECDH1_DERIVE_PARAMS *)how->pParameter;
    auto kdf = s->refused_kdfs.find(ecdh.kdf);
    if (kdf != s->refused_kdfs.end()) return kdf->second;
    if (s->bare_peer && is_der_point(ecdh)) return CKR_DATA_INVALID;
  }
  if (rv == CKR_OK) rv = judged(*s, "C_DeriveKey", given, count, passed);
  if (rv != CKR_OK) return rv;
  return real->C_DeriveKey(session, how, key, passed.data(), passed.size(), made);
}

inline CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR how,
                               CK_ATTRIBUTE_PTR open, CK_ULONG open_count, CK_ATTRIBUTE_PTR secret,
                               CK_ULONG secret_count, CK_OBJECT_HANDLE_PTR public_key,
                               CK_OBJECT_HANDLE_PTR private_key) {
  auto s = settings::now();
  std::vector<CK_ATTRIBUTE> passed;
  CK_RV rv = refusal(*s, how, CKF_GENERATE_KEY_PAIR);
  if (rv == CKR_OK) rv = judged(*s, "C_GenerateKeyPair", secret, secret_count, passed);
  bool has_purpose = std::any_of(passed.begin(), passed.end(), [](auto &one) {
    return (one.type == CKA_SIGN || one.type == CKA_DECRYPT) && one.pValue &&
           *(CK_BBOOL *)one.pValue == CK_TRUE;
  });
  if (rv == CKR_OK && s->needs_purpose && !has_purpose) rv = CKR_GENERAL_ERROR;
  if (rv != CKR_OK) return rv;
  return real->C_GenerateKeyPair(session, how, open, open_count, passed.data(), passed.size(),
                                 public_key, private_key);
}

inline CK_RV C_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR given, CK_ULONG count,
                            CK_OBJECT_HANDLE_PTR made) {
  std::vector<CK_ATTRIBUTE> passed;
  CK_RV rv = judged(*settings::now(), "C_CreateObject", given, count, passed);
  if (rv != CKR_OK) return rv;
  return real->C_CreateObject(session, passed.data(), passed.size(), made);
}

}  // namespace peculiar
