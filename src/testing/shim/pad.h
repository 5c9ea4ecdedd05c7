// A reader with a PIN pad: it takes no PIN from the host, and a person types there. What the person
// does is in the settings: by default they type the token's PIN, each time and at once.
#pragma once
#include <errno.h>
#include <time.h>

#include "settings.h"

inline void sleep_for(unsigned long milliseconds) {
  struct timespec rest = {(time_t)(milliseconds / 1000), (long)(milliseconds % 1000) * 1000000};
  while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
  }
}

namespace pad {

inline CK_UTF8CHAR_PTR bytes(const std::string &text) { return (CK_UTF8CHAR_PTR)text.data(); }

// Asks the person. `use` gets the PIN that they type, and the new one. `pin` is the right one; of a
// token whose PIN nobody here knows it is empty, and the person cancels.
template <typename Use>
CK_RV ask(const Settings &s, const std::string &pin, Use use) {
  const Answer *found = nullptr;
  for (const Answer &answer : s.answers) {
    uint64_t number = settings::count(answer.id);
    bool is_due = number >= answer.at && (answer.times == 0 || number - answer.at < answer.times);
    if (!found && is_due) found = &answer;
  }
  if (found) sleep_for(found->milliseconds);
  if (found && found->rv != CKR_OK) return found->rv;
  const std::string &typed = found && !found->pin.empty() ? found->pin : pin;
  if (typed.empty()) return CKR_FUNCTION_CANCELED;
  // Who is not told otherwise keeps the PIN.
  return use(typed, found && !found->new_pin.empty() ? found->new_pin : pin);
}

}  // namespace pad
