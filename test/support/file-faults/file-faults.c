/*
 * LD_PRELOAD: counts the calls that change regular files or names, and at the one numbered
 * FILE_FAULT_AT kills the process (FILE_FAULT=kill, before the call is made) or lets the call fail
 * (FILE_FAULT=ENOSPC or EIO), as SQLite's own tests do. FILE_FAULT_COUNT names a file that gets the
 * number of calls when the process ends. With FILE_FAULT_FOLDERS, flushing a folder is such a call
 * as well.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

/* 0: go on. Otherwise errno is set, and the call fails. */
static int fault(void) {
  long now = atomic_fetch_add(&calls, 1) + 1;
  const char *at = getenv("FILE_FAULT_AT");
  const char *kind = getenv("FILE_FAULT");
  if (at == NULL || kind == NULL || atol(at) != now) return 0;
  if (strcmp(kind, "kill") == 0) kill(getpid(), SIGKILL);
  errno = strcmp(kind, "EIO") == 0 ? EIO : ENOSPC;
  return -1;
}

static int is_file(int fd) {
  struct stat stats;
  if (fstat(fd, &stats) != 0) return 0;
  return S_ISREG(stats.st_mode) || (S_ISDIR(stats.st_mode) && getenv("FILE_FAULT_FOLDERS"));
}

__attribute__((destructor)) static void count(void) {
  const char *path = getenv("FILE_FAULT_COUNT");
  FILE *file = path == NULL ? NULL : fopen(path, "w");
  if (file == NULL) return;
  fprintf(file, "%ld", atomic_load(&calls));
  fclose(file);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPENING(name)                                          \
  int name(const char *path, int flags, ...) {                 \
    va_list list;                                              \
    va_start(list, flags);                                     \
    mode_t mode = (flags & O_CREAT) ? va_arg(list, mode_t) : 0; \
    va_end(list);                                              \
    if ((flags & O_CREAT) && fault()) return -1;               \
    return NEXT(name)(path, flags, mode);                      \
  }
OPENING(open)
OPENING(open64)

#define WRITING(result, name, parameters, arguments) \
  result name parameters {                           \
    if (is_file(fd) && fault()) return -1;           \
    return NEXT(name) arguments;                     \
  }
WRITING(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
WRITING(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRITING(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at),
        (fd, data, size, at))
WRITING(ssize_t, writev, (int fd, const struct iovec *parts, int many), (fd, parts, many))
WRITING(ssize_t, pwritev, (int fd, const struct iovec *parts, int many, off_t at),
        (fd, parts, many, at))
WRITING(ssize_t, pwritev64, (int fd, const struct iovec *parts, int many, off64_t at),
        (fd, parts, many, at))
WRITING(int, fsync, (int fd), (fd))
WRITING(int, fdatasync, (int fd), (fd))
WRITING(int, ftruncate, (int fd, off_t size), (fd, size))
WRITING(int, ftruncate64, (int fd, off64_t size), (fd, size))

#define NAMING(name, parameters, arguments) \
  int name parameters {                     \
    if (fault()) return -1;                 \
    return NEXT(name) arguments;            \
  }
NAMING(link, (const char *from, const char *to), (from, to))
NAMING(rename, (const char *from, const char *to), (from, to))
NAMING(unlink, (const char *path), (path))
NAMING(rmdir, (const char *path), (path))
NAMING(mkdir, (const char *path, mode_t mode), (path, mode))
NAMING(fchmod, (int fd, mode_t mode), (fd, mode))
NAMING(fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
NAMING(chmod, (const char *path, mode_t mode), (path, mode))

char *mkdtemp(char *path) {
  if (fault()) return NULL;
  return NEXT(mkdtemp)(path);
}
