/* Preloaded into one program by a test: calls on files fail on command, the wall clock is wrong.

   RELAYD_FAULTS names a file of struct Command that the test has mapped as well (faults.py); what it
   writes there counts at once. Nothing is changed while the fields are zero. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SYNCS = 1, WRITES = 2 };

struct Command {
  _Atomic int64_t clock_ns;  /* added to CLOCK_REALTIME */
  _Atomic int32_t calls;     /* which ones fail: SYNCS, WRITES; 0 for none */
  _Atomic int32_t countdown; /* the Nth from now fails */
  _Atomic int32_t code;      /* with this errno */
  _Atomic int32_t goes_on;   /* and so do all after it */
  _Atomic int64_t failed;    /* how many have */
  _Atomic int64_t writes;    /* writes to such files, failed or not */
  char path[64];             /* only files whose path has this in it */
  _Atomic int64_t magic;     /* what statfs() says the file system is; 0: the truth */
};

static struct Command nothing;
static struct Command *command = &nothing;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
static __typeof__(&fsync) real_fsync, real_fdatasync;
static __typeof__(&pwrite) real_pwrite;
static __typeof__(&pwritev) real_pwritev;
static __typeof__(&clock_gettime) real_clock_gettime;

__attribute__((constructor)) static void begin(void) {
  real_fsync = REAL(fsync);
  real_fdatasync = REAL(fdatasync);
  real_pwrite = REAL(pwrite);
  real_pwritev = REAL(pwritev);
  real_clock_gettime = REAL(clock_gettime);
  const char *path = getenv("RELAYD_FAULTS");
  if (path == NULL) return;
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) abort();
  void *at = mmap(NULL, sizeof *command, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) abort();
  command = at;
  close(fd);
}

/* 0, or the errno with which this call fails. */
static int fault(int32_t kind, int fd) {
  if (command->path[0] == 0) return 0;
  char name[32], path[4096];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(name, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  if (strstr(path, command->path) == NULL) return 0;
  if (kind == WRITES) atomic_fetch_add(&command->writes, 1);
  if ((command->calls & kind) == 0) return 0;
  const int32_t left = atomic_fetch_sub(&command->countdown, 1);
  if (left > 1 || (left < 1 && !command->goes_on)) return 0;
  atomic_fetch_add(&command->failed, 1);
  return command->code;
}

#define FAIL(kind)                        \
  const int code = fault(kind, fd);       \
  if (code != 0) {                        \
    errno = code;                         \
    return -1;                            \
  }

int fsync(int fd) {
  FAIL(SYNCS);
  return real_fsync(fd);
}

int fdatasync(int fd) {
  FAIL(SYNCS);
  return real_fdatasync(fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  FAIL(WRITES);
  return real_pwrite(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) {
  FAIL(WRITES);
  return real_pwrite(fd, bytes, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset) {
  FAIL(WRITES);
  return real_pwritev(fd, pieces, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset) {
  FAIL(WRITES);
  return real_pwritev(fd, pieces, count, offset);
}

int clock_gettime(clockid_t which, struct timespec *now) {
  if (real_clock_gettime == NULL) real_clock_gettime = REAL(clock_gettime);
  const int code = real_clock_gettime(which, now);
  if (code == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
    now->tv_sec += command->clock_ns / 1000000000;
  }
  return code;
}

int statfs(const char *path, struct statfs *into) {
  const int code = REAL(statfs)(path, into);
  if (code == 0 && command->magic != 0) into->f_type = command->magic;
  return code;
}

time_t time(time_t *into) {
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_REALTIME, &now);
  if (into != NULL) *into = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval *restrict into, void *restrict zone) {
  (void)zone;
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_REALTIME, &now);
  into->tv_sec = now.tv_sec;
  into->tv_usec = now.tv_nsec / 1000;
  return 0;
}
