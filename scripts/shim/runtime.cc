// What a prebuilt shim needs of a C++ runtime, so that it needs no libstdc++ on the machine where
// it is used, and no newer glibc than Node does. Nothing throws there: where memory runs out or a
// container is misused, the process ends.
#include <stdlib.h>

#include <new>

void *operator new(size_t bytes) {
  void *memory = malloc(bytes ? bytes : 1);
  if (!memory) abort();
  return memory;
}
void *operator new[](size_t bytes) { return operator new(bytes); }
void operator delete(void *memory) noexcept { free(memory); }
void operator delete[](void *memory) noexcept { free(memory); }
void operator delete(void *memory, size_t) noexcept { free(memory); }
void operator delete[](void *memory, size_t) noexcept { free(memory); }

// What libstdc++'s headers call instead of `throw` (bits/functexcept.h).
namespace std {
void __throw_bad_alloc() { abort(); }
void __throw_bad_array_new_length() { abort(); }
void __throw_length_error(const char *) { abort(); }
void __throw_logic_error(const char *) { abort(); }
void __throw_out_of_range_fmt(const char *, ...) { abort(); }
void __throw_system_error(int) { abort(); }
}  // namespace std
