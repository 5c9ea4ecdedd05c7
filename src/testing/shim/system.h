// What the shim asks of the system, in the oldest form that the system still offers: a shim that is
// compiled on one machine is used on others, which may have an older C library.
#pragma once
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

// glibc 2.34 gave these functions new version numbers when it moved them, and left the old ones in
// place. They are the same.
#ifdef __GLIBC__
#if defined __x86_64__
#define OLD_GLIBC "GLIBC_2.2.5"
#elif defined __aarch64__
#define OLD_GLIBC "GLIBC_2.17"
#endif
#endif
#ifdef OLD_GLIBC
__asm__(".symver dlopen,dlopen@" OLD_GLIBC);
__asm__(".symver dlsym,dlsym@" OLD_GLIBC);
__asm__(".symver dladdr,dladdr@" OLD_GLIBC);
#endif

// What tells a file from another one of the same name.
struct FileState {
  uint64_t inode = 0, seconds = 0, nanoseconds = 0, bytes = 0;

  bool operator==(const FileState &other) const {
    return inode == other.inode && seconds == other.seconds && nanoseconds == other.nanoseconds &&
           bytes == other.bytes;
  }
};

// Of no file, all zero.
inline FileState file_state(const char *path) {
#ifdef __linux__
  // stat(2) got a new version number in glibc 2.33; statx is as old as the glibc that Node needs.
  struct statx found;
  if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &found) != 0) return {};
  return {found.stx_ino, (uint64_t)found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec, found.stx_size};
#else
  struct stat found;
  if (stat(path, &found) != 0) return {};
  return {(uint64_t)found.st_ino, (uint64_t)found.st_mtime, 0, (uint64_t)found.st_size};
#endif
}

// Of no file, nothing.
inline std::string file_text(const char *path) {
  std::string text;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return text;
  char block[4096];
  for (;;) {
    ssize_t bytes = read(file, block, sizeof block);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) break;
    text.append(block, (size_t)bytes);
  }
  close(file);
  return text;
}
