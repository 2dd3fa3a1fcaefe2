/* A kernel in trouble, for tests: preloaded into the binary, it refuses what the environment names.

   SHIM_EIO=fsync|write  on files whose path has `.parquet` in it: EIO
   SHIM_NO_LOCKS=1       flock: ENOLCK, as network file systems without locks say
   SHIM_CLOCK=1          the wall clock jumps by six hours, to and fro, whenever somebody looks */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static int is_parquet(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, ".parquet") != NULL;
}

static int refuses(const char *what, int fd) {
  const char *wanted = getenv("SHIM_EIO");
  return wanted && strcmp(wanted, what) == 0 && is_parquet(fd);
}

int fsync(int fd) {
  if (refuses("fsync", fd)) {
    errno = EIO;
    return -1;
  }
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  return real(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  if (refuses("write", fd)) {
    errno = EIO;
    return -1;
  }
  ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
  return real(fd, bytes, count);
}

int flock(int fd, int operation) {
  if (getenv("SHIM_NO_LOCKS")) {
    errno = ENOLCK;
    return -1;
  }
  int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
  return real(fd, operation);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  static atomic_uint looks;
  int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  if (clock == CLOCK_REALTIME && getenv("SHIM_CLOCK")) {
    int jump = (int)(atomic_fetch_add(&looks, 1) % 3) - 1;
    now->tv_sec += jump * 6 * 3600;
  }
  return result;
}
