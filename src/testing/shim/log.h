// The log of calls: a line of JSON for each, appended to a file beside the library. Attributes that
// may be secret, PINs and data appear as lengths only.
#pragma once
#include <stdio.h>

#include "settings.h"

namespace call_log {

// Attributes whose values are logged: classes, labels, ids and what a key may be used for.
inline bool is_public(CK_ATTRIBUTE_TYPE type) {
  return type <= 0x03 || type == 0x80 || type == 0x86 || type == 0x100 || type == 0x102 ||
         (type >= 0x103 && type <= 0x10c) || type == 0x121 || type == 0x161 ||
         (type >= 0x162 && type <= 0x166) || (type >= 0x170 && type <= 0x172) || type == 0x180 ||
         type == 0x202;
}

// What is known of a call from the types of its arguments.
struct Call {
  const char *function;
  bool is_of_slot;
  std::string text;
  int position = 0;
  CK_ATTRIBUTE_PTR attributes = nullptr;
  bool has_pin = false;

  bool is_login() const { return strcmp(function, "C_Login") == 0; }
  bool takes_pin() const {
    for (const char *one : {"C_InitToken", "C_InitPIN", "C_SetPIN"})
      if (strcmp(function, one) == 0) return true;
    return is_login();
  }

  void field(const char *name, unsigned long value) {
    char part[64];
    snprintf(part, sizeof part, ",\"%s\":%lu", name, value);
    text += part;
  }

  void add(CK_ULONG value) {
    if (attributes) list(value);
    else if (position == 0) field(is_of_slot ? "slot" : "session", value);
    else if (position == 1 && is_login()) field("user", value);
    attributes = nullptr;
    position++;
  }
  void add(CK_MECHANISM_PTR mechanism) {
    if (mechanism) field("mechanism", mechanism->mechanism);
    position++;
  }
  void add(CK_ATTRIBUTE_PTR some) {
    attributes = some;
    position++;
  }
  void add(CK_BYTE_PTR bytes) {
    const bool is_label = position == 3 && strcmp(function, "C_InitToken") == 0;
    if (bytes && !is_label) has_pin = true;
    position++;
  }
  template <typename T>
  void add(T) {
    position++;
  }

  void list(CK_ULONG count) {
    text += text.find("\"attributes\"") == std::string::npos ? ",\"attributes\":["
                                                             : ",\"attributes2\":[";
    for (CK_ULONG i = 0; i < count && i < 40; i++) {
      const CK_ATTRIBUTE &one = attributes[i];
      char part[96];
      bool has_value = one.pValue && one.ulValueLen != (CK_ULONG)-1;
      snprintf(part, sizeof part, "%s{\"type\":%lu,\"bytes\":%ld", i ? "," : "", one.type,
               (long)one.ulValueLen);
      text += part;
      if (has_value && is_public(one.type) && one.ulValueLen <= 64) {
        text += ",\"hex\":\"";
        for (CK_ULONG n = 0; n < one.ulValueLen; n++) {
          snprintf(part, sizeof part, "%02x", ((unsigned char *)one.pValue)[n]);
          text += part;
        }
        text += "\"";
      }
      text += "}";
    }
    text += "]";
  }
};

// Appends one call. `rv` is null where the process ends or hangs in it.
template <typename... A>
void append(const Settings &s, const char *function, bool is_of_slot, const CK_RV *rv,
            const Fault *fault, A... arguments) {
  if (!s.log) return;
  Call call{function, is_of_slot, {}};
  (call.add(arguments), ...);
  char rest[96];
  std::string line = std::string("{\"fn\":\"") + function + "\"" + call.text;
  snprintf(rest, sizeof rest, ",\"pid\":%d", (int)getpid());
  line += rest;
  if (call.takes_pin()) line += call.has_pin ? ",\"pin\":true" : ",\"pin\":false";
  if (fault) line += ",\"fault\":\"" + fault->action + "\"";
  if (rv) snprintf(rest, sizeof rest, ",\"rv\":%lu}\n", (unsigned long)*rv);
  else snprintf(rest, sizeof rest, ",\"rv\":null}\n");
  line += rest;
  // One write in append mode: lines of several threads and processes don't mix.
  int file = open((settings::folder + "/calls").c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
                  0600);
  if (file < 0) return;
  ssize_t written = write(file, line.data(), line.size());
  (void)written;
  close(file);
}

}  // namespace call_log
