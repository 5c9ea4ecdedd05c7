// What the shim is told: a text file beside the library, and counters shared by all processes that
// use it. The file is looked at on every call and read again when it changed, so a test can change
// a token that another process has open. shim-settings.ts writes it; a line is a word and its
// values, separated by blanks.
#pragma once
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cryptoki.h"
#include "system.h"

// One instruction to fail. `at` counts calls of all processes, from 1.
struct Fault {
  unsigned id = 0;
  std::string function, action;
  unsigned long value = 0;  // the return value, or milliseconds
  uint64_t at = 1, times = 0;
  bool any_attribute = false, until_login = false;
  CK_ATTRIBUTE_TYPE attribute = 0;
};

// What the person at a PIN pad does at the questions from `at` on, of all processes.
struct Answer {
  unsigned id = 0;
  CK_RV rv = 0;                    // what the reader returns without a PIN; CKR_OK: they type
  unsigned long milliseconds = 0;  // how long it takes
  uint64_t at = 1, times = 0;
  std::string pin, new_pin;  // empty: the token's own
};

// A rule for the templates given to one function.
struct TemplateRule {
  std::string function, what;  // what: need, refuse, drop
  CK_ATTRIBUTE_TYPE attribute = 0;
  CK_RV rv = 0;
};

struct Settings {
  std::string module, softhsm_conf, unlisted_on;
  bool present = true, log = true;
  uint64_t epoch = 0;  // how often the token was pulled
  std::vector<Fault> faults;
  CK_FLAGS token_flags = 0;  // set besides those that the token has

  // A PIN pad: the PINs that the person there knows, and what they do.
  bool pad = false;
  std::string pin, so_pin;
  std::vector<Answer> answers;

  // A kind of token: what it shows of itself, and what it refuses.
  std::string library_manufacturer, library_description, manufacturer, model;
  CK_FLAGS hidden_flags = 0, slot_flags = 0;
  bool one_slot = false, hidden_until_login = false, needs_purpose = false, stuck = false;
  bool bare_peer = false;
  std::set<CK_MECHANISM_TYPE> hidden_mechanisms;
  std::map<CK_MECHANISM_TYPE, CK_FLAGS> hidden_uses;
  std::map<CK_MECHANISM_TYPE, CK_ULONG> largest;
  std::map<std::string, CK_RV> refused;
  std::vector<TemplateRule> templates;
  std::map<CK_ULONG, CK_RV> refused_kdfs;
  std::set<CK_MECHANISM_TYPE> refused_hashes;
  std::string point, params;
  std::map<CK_OBJECT_CLASS, std::string> label_endings;
};

namespace settings {

inline std::string folder;  // of this copy of the library

constexpr size_t MOST_FAULTS = 4096;

inline std::string decoded(const std::string &text) {  // %20 for a blank
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += (char)strtoul(text.substr(i + 1, 2).c_str(), nullptr, 16);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

inline void read_line(Settings &s, const char *line, const char *end) {
  auto text = [&] {
    while (line < end && *line == ' ') line++;
    const char *start = line;
    while (line < end && *line != ' ') line++;
    return decoded(std::string(start, line));
  };
  const std::string word = text();
  auto number = [&] { return strtoul(text().c_str(), nullptr, 0); };
  if (word == "module") s.module = text();
  else if (word == "softhsm2-conf") s.softhsm_conf = text();
  else if (word == "present") s.present = number();
  else if (word == "epoch") s.epoch = number();
  else if (word == "log") s.log = number();
  else if (word == "fault") {
    Fault f;
    f.id = number();
    f.function = text();
    f.action = text();
    f.value = number();
    f.at = number();
    f.times = number();
    std::string attribute = text();
    f.any_attribute = attribute == "any";
    f.attribute = strtoul(attribute.c_str(), nullptr, 0);
    f.until_login = number();
    s.faults.push_back(f);
  } else if (word == "token-flags") s.token_flags |= number();
  else if (word == "pad") s.pad = true;
  else if (word == "pin") s.pin = text();
  else if (word == "so-pin") s.so_pin = text();
  else if (word == "answer") {
    Answer a;
    a.id = number();
    a.rv = number();
    a.milliseconds = number();
    a.at = number();
    a.times = number();
    s.answers.push_back(a);
  } else if (word == "answer-pin") s.answers.back().pin = text();
  else if (word == "answer-new-pin") s.answers.back().new_pin = text();
  else if (word == "library-manufacturer") s.library_manufacturer = text();
  else if (word == "library-description") s.library_description = text();
  else if (word == "manufacturer") s.manufacturer = text();
  else if (word == "model") s.model = text();
  else if (word == "hidden-flags") s.hidden_flags = number();
  else if (word == "slot-flags") s.slot_flags = number();
  else if (word == "one-slot") s.one_slot = true;
  else if (word == "hidden-until-login") s.hidden_until_login = true;
  else if (word == "needs-purpose") s.needs_purpose = true;
  else if (word == "stuck") s.stuck = true;
  else if (word == "bare-peer") s.bare_peer = true;
  else if (word == "no-mechanisms") s.unlisted_on = text();
  else if (word == "hidden-mechanism") s.hidden_mechanisms.insert(number());
  else if (word == "hidden-use") {
    CK_MECHANISM_TYPE mechanism = number();
    s.hidden_uses[mechanism] = number();
  } else if (word == "largest") {
    CK_MECHANISM_TYPE mechanism = number();
    s.largest[mechanism] = number();
  } else if (word == "refused") {
    std::string function = text();
    s.refused[function] = number();
  } else if (word == "template") {
    TemplateRule rule;
    rule.function = text();
    rule.what = text();
    rule.attribute = number();
    rule.rv = number();
    s.templates.push_back(rule);
  } else if (word == "refused-kdf") {
    CK_ULONG kdf = number();
    s.refused_kdfs[kdf] = number();
  } else if (word == "refused-hash") s.refused_hashes.insert(number());
  else if (word == "point") s.point = text();
  else if (word == "params") s.params = text();
  else if (word == "label-ending") {
    CK_OBJECT_CLASS kind = number();
    s.label_endings[kind] = text();
  }
}

// The settings as they were read, one after the other. Earlier ones are kept: other threads may be
// in a call with them.
inline std::vector<std::unique_ptr<const Settings>> all;

// The settings as they stand now.
inline const Settings *now() {
  static std::mutex lock;
  static FileState seen;
  std::lock_guard<std::mutex> held(lock);
  const std::string path = folder + "/shim.conf";
  // The file is replaced, never rewritten, so another one has another inode or another time.
  const FileState found = file_state(path.c_str());
  if (!all.empty() && found == seen) return all.back().get();
  auto fresh = std::make_unique<Settings>();
  const std::string text = file_text(path.c_str());
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    read_line(*fresh, text.data() + at, text.data() + end);
    at = end + 1;
  }
  seen = found;
  all.push_back(std::move(fresh));
  return all.back().get();
}

// A file of counters that all processes share; in memory of this one where there can be none.
inline uint64_t *shared_counters() {
  const size_t bytes = MOST_FAULTS * sizeof(uint64_t);
  int file = open((folder + "/counters").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void *shared = MAP_FAILED;
  if (file >= 0 && ftruncate(file, bytes) == 0)
    shared = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file >= 0) close(file);
  return shared == MAP_FAILED ? (uint64_t *)calloc(MOST_FAULTS, sizeof(uint64_t))
                              : (uint64_t *)shared;
}

// Counts a call that a fault is about. Returns its number, from 1.
inline uint64_t count(unsigned id) {
  static std::mutex lock;
  static uint64_t *counters;
  {
    std::lock_guard<std::mutex> held(lock);
    if (!counters) counters = shared_counters();
  }
  return __atomic_add_fetch(&counters[id % MOST_FAULTS], 1, __ATOMIC_SEQ_CST);
}

// Finds the folder of the library that this function is in.
inline void find_folder() {
  Dl_info info;
  if (!dladdr((void *)&find_folder, &info) || !info.dli_fname) return;
  char real[PATH_MAX];
  std::string path = realpath(info.dli_fname, real) ? real : info.dli_fname;
  folder = path.substr(0, path.rfind('/'));
}

}  // namespace settings
