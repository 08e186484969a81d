/* Child processes. */
#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Newer than some headers. */
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define SWSYS_PIDFD_SIGNAL_PROCESS_GROUP 4u /* Linux 6.9 */

/* This does not use posix_spawn, because posix_spawn returns only the child's number. If other code reaps
 * children or SIGCHLD is ignored, the number can belong to another process before a pidfd is opened for it. So
 * the pidfd has to come from the system call that makes the child. pidfd_spawn does that, but needs glibc 2.39,
 * which is newer than the systems we support.
 *
 * So this does what posix_spawn does inside. The child begins in the memory of its parent, on its own stack,
 * with every signal blocked, while the calling thread waits until the child has executed the program or failed.
 * The child makes only system calls. It avoids functions of the C library that would change the library's (or a
 * sanitizer's) state, because that state belongs to the parent. */

struct start {
  const struct swsys_spawn *request;
  int pidfd;      /* written by the kernel before the child runs */
  int error;      /* of the step that failed */
  enum swsys_spawn_step step;
  int index;      /* of the descriptor that it was about */
};

#define CHILD_ONLY __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#if defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
#undef CHILD_ONLY
#define CHILD_ONLY __attribute__((noinline, disable_sanitizer_instrumentation))
#endif
#endif

/* The kernel's set of signals: a bit each. */
typedef struct { unsigned long bits[64 / (8 * sizeof(unsigned long))]; } kernel_signals;

CHILD_ONLY static _Noreturn void give_up(struct start *start, enum swsys_spawn_step step, int index, int error) {
  start->step = step;
  start->index = index;
  start->error = error;
  while (true) syscall(SYS_exit_group, 127);
}

/* Runs in the child. Every signal is blocked, so no handler runs in between. */
CHILD_ONLY static void reset_signals(bool keeps_ignored) {
  /* The kernel's structure differs between machines; a handler comes first, and all zeros are the default. */
  static const unsigned long none[8];
  unsigned long action[8];
  for (int number = 1; number <= 64; number++) {
    if (number == SIGKILL || number == SIGSTOP) continue;
    if (keeps_ignored && syscall(SYS_rt_sigaction, number, NULL, action, sizeof(kernel_signals)) == 0
        && action[0] == (unsigned long)SIG_IGN) continue;
    syscall(SYS_rt_sigaction, number, none, NULL, sizeof(kernel_signals));
  }
}

/* Runs in the child: closes the descriptors in a range, including both ends. */
CHILD_ONLY static void close_between(unsigned first, unsigned last) {
  if (first > last) return;
  if (syscall(SYS_close_range, first, last, 0) == 0) return;
  /* close_range is missing before Linux 5.9, or forbidden. A directory lists the open descriptors. Without it,
   * all possible numbers are closed. */
  int directory = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (directory >= 0) {
    _Alignas(8) char entries[2048];
    long count;
    /* The list continues behind the number that it has given last, so closing moves nothing in it. */
    while ((count = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0) {
      for (long offset = 0; offset < count;) {
        const struct dirent64 *entry = (const void *)(entries + offset);
        const char *name = entry->d_name;
        unsigned number = 0;
        bool is_number = *name != 0;
        for (; *name; name++) {
          if (*name < '0' || *name > '9') { is_number = false; break; }
          number = number * 10 + (unsigned)(*name - '0');
        }
        if (is_number && number >= first && number <= last && number != (unsigned)directory)
          syscall(SYS_close, number);
        offset += entry->d_reclen;
      }
    }
    syscall(SYS_close, directory);
    return;
  }
  struct rlimit limit;
  unsigned end = 1 << 20;
  if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) == 0 && limit.rlim_cur < end)
    end = (unsigned)limit.rlim_cur;
  for (unsigned number = first; number <= last && number < end; number++) syscall(SYS_close, number);
}

/* Runs in the child: gives the descriptor of entry i its number, unless another entry still needs what has that number. The
 * source of a placed entry becomes -1. A number may have become free by that, so the entry that waits for it is next. */
CHILD_ONLY static void place_descriptors(struct start *start, int *sources, int i) {
  const struct swsys_spawn *request = start->request;
  while (sources[i] >= 0) {
    int source = sources[i], target = request->targets[i];
    if (source == target) {
      if (syscall(SYS_fcntl, source, F_SETFD, 0) < 0) give_up(start, SWSYS_STEP_DESCRIPTOR, i, errno);
    } else {
      for (int j = 0; j < request->count; j++)
        if (sources[j] == target) return;
      if (syscall(SYS_dup3, source, target, 0) < 0) {
        int error = errno;
        /* The same error for a source that is not open, and for a target beyond the limit. */
        if (error == EBADF && syscall(SYS_fcntl, source, F_GETFD) >= 0) error = EMFILE;
        give_up(start, SWSYS_STEP_DESCRIPTOR, i, error);
      }
    }
    sources[i] = -1;
    for (int j = 0; j < request->count; j++)
      if (sources[j] >= 0 && request->targets[j] == source) i = j;
  }
}

/* Runs in the child, which has its own table of descriptors. */
CHILD_ONLY static void arrange_descriptors(struct start *start) {
  const struct swsys_spawn *request = start->request;
  /* Only sources stay open above the standard streams, whatever close-on-exec flags are missing. So there is
   * room for copies, even if the parent has reached its limit. */
  unsigned next = 3;
  while (true) {
    unsigned source = UINT_MAX;
    for (int i = 0; i < request->count; i++)
      if (request->sources[i] >= 0 && (unsigned)request->sources[i] >= next
          && (unsigned)request->sources[i] < source)
        source = (unsigned)request->sources[i];
    close_between(next, source == UINT_MAX ? UINT_MAX : source - 1);
    if (source == UINT_MAX) break;
    next = source + 1;
  }
  int sources[SWSYS_MOST_DESCRIPTORS];
  for (int i = 0; i < request->count; i++) sources[i] = request->sources[i];
  for (int i = 0; i < request->count; i++) place_descriptors(start, sources, i);
  /* The entries that are left wait for each other, in circles. A copy of one source makes its number free. */
  for (int i = 0; i < request->count; i++) {
    if (sources[i] < 0) continue;
    /* A number is free: in the parent it is the pidfd's. If it is to become /dev/null, that is opened later. */
    int source = sources[i], copy = (int)syscall(SYS_fcntl, source, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) give_up(start, SWSYS_STEP_DESCRIPTOR, i, errno);
    for (int j = 0; j < request->count; j++)
      if (sources[j] == source) sources[j] = copy;
    for (int j = 0; j < request->count; j++)
      if (request->targets[j] == source) place_descriptors(start, sources, j);
    syscall(SYS_close, copy);
  }
  unsigned below = 3;
  while (true) {
    unsigned target = UINT_MAX;
    for (int i = 0; i < request->count; i++)
      if ((unsigned)request->targets[i] >= below && (unsigned)request->targets[i] < target)
        target = (unsigned)request->targets[i];
    close_between(below, target == UINT_MAX ? UINT_MAX : target - 1);
    if (target == UINT_MAX) break;
    below = target + 1;
  }
  for (int i = 0; i < request->count; i++) {
    int source = request->sources[i], number = request->targets[i];
    if (source >= 0) continue;
    if (source == SWSYS_INHERIT) {
      long flags = syscall(SYS_fcntl, number, F_GETFD);
      if (flags >= 0) {
        syscall(SYS_fcntl, number, F_SETFD, flags & ~FD_CLOEXEC);
        continue;
      }
      /* The parent's stream is closed. Open /dev/null, because otherwise the first file that the child opens
       * would become its standard stream. */
    }
    /* Then there is a free number, whatever the limit is. */
    syscall(SYS_close, number);
    int null = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
    if (null < 0) give_up(start, SWSYS_STEP_DESCRIPTOR, i, errno);
    if (null == number) continue;
    if (syscall(SYS_dup3, null, number, 0) < 0) give_up(start, SWSYS_STEP_DESCRIPTOR, i, errno);
    syscall(SYS_close, null);
  }
}

/* ETXTBSY: the file is open for writing. If this program has just written and closed it, a child that another
 * thread is starting may hold a copy of the descriptor until it executes its own program. That ends soon, so
 * try for about a second. */
CHILD_ONLY static int execute(const char *path, char *const *arguments, char *const *environment) {
  for (long milliseconds = 1; ; milliseconds *= 2) {
    syscall(SYS_execve, path, arguments, environment);
    if (errno != ETXTBSY || milliseconds > 512) return errno;
    struct timespec pause = {.tv_sec = 0, .tv_nsec = milliseconds * 1000000};
    syscall(SYS_nanosleep, &pause, NULL);
  }
}

CHILD_ONLY static int run_child(void *argument) {
  struct start *start = argument;
  const struct swsys_spawn *request = start->request;
  if (start->pidfd < 0) give_up(start, SWSYS_STEP_CLONE, 0, ENOSYS);
  reset_signals(request->keeps_ignored_signals);
  if (request->group == SWSYS_GROUP_SESSION) {
    if (syscall(SYS_setsid) < 0) give_up(start, SWSYS_STEP_GROUP, 0, errno);
  } else if (request->group >= 0) {
    if (syscall(SYS_setpgid, 0, request->group) < 0) give_up(start, SWSYS_STEP_GROUP, 0, errno);
  }
  arrange_descriptors(start);
  if (request->working_directory && syscall(SYS_chdir, request->working_directory) < 0)
    give_up(start, SWSYS_STEP_DIRECTORY, 0, errno);
  kernel_signals none = {{0}};
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
  /* Like execvp: executes the first file that can be executed. EACCES is returned only if no file can, and ENAMETOOLONG only
   * if no path can be that of a file. */
  int error = ENOENT;
  bool is_nameless = true;
  for (const char *const *candidate = request->candidates; *candidate; candidate++) {
    int found = execute(*candidate, request->arguments, request->environment);
    is_nameless = is_nameless && found == ENAMETOOLONG;
    if (found == EACCES) { error = EACCES; continue; }
    bool is_absent = found == ENAMETOOLONG || found == ENOENT || found == ENOTDIR || found == ESTALE || found == ENODEV || found == ETIMEDOUT;
    bool is_only = candidate == request->candidates && !candidate[1];
    if (!is_absent || is_only) error = found;
    if (!is_absent) break;
  }
  if (is_nameless) error = ENAMETOOLONG;
  give_up(start, SWSYS_STEP_PROGRAM, 0, error);
}

/* The thread sanitizer's clone would treat the child like a fork, and change its own state. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
extern int __clone(int (*)(void *), void *, int, void *, ...);
#define SPAWN_CLONE __clone
#endif
#endif
#ifndef SPAWN_CLONE
#define SPAWN_CLONE clone
#endif

int swsys_spawn(const struct swsys_spawn *request, struct swsys_spawned *spawned) {
  *spawned = (struct swsys_spawned){.pidfd = -1, .step = SWSYS_STEP_CLONE};
  if (request->count > SWSYS_MOST_DESCRIPTORS) {
    spawned->step = SWSYS_STEP_DESCRIPTOR;
    return -E2BIG;
  }
  size_t page = (size_t)sysconf(_SC_PAGESIZE), size = 64 << 10;
  if (size < 4 * page) size = 4 * page;
  char *stack = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -errno;
  mprotect(stack, page, PROT_NONE);
  struct start start = {.request = request, .pidfd = -1};
  kernel_signals all, before;
  for (size_t i = 0; i < sizeof all.bits / sizeof all.bits[0]; i++) all.bits[i] = ~0ul;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  int pid = RESULT(SPAWN_CLONE(
      run_child, stack + page + size, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &start, &start.pidfd, NULL,
      NULL));
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
  munmap(stack, size + page);
  if (pid < 0) return pid;
  if (start.error) {
    /* The child has ended without running a program, and no other code knows of it. */
    siginfo_t info = {0};
    if (start.pidfd >= 0) {
      (void)RETRIED(waitid((idtype_t)P_PIDFD, (id_t)start.pidfd, &info, WEXITED));
      close(start.pidfd);
    } else {
      (void)RETRIED(waitpid(pid, NULL, 0));
    }
    spawned->step = start.step;
    spawned->index = start.index;
    return -start.error;
  }
  if (start.pidfd <= 2) {
    /* A standard stream was closed, and its number must not be used. */
    int moved = fcntl(start.pidfd, F_DUPFD_CLOEXEC, 3);
    if (moved >= 0) {
      close(start.pidfd);
      start.pidfd = moved;
    }
  }
  spawned->pid = pid;
  spawned->pidfd = start.pidfd;
  return 0;
}

/* Whether a read of a named pipe would return the end: nothing is in it, and no writer has it open. Otherwise 0, or a
 * negative errno if that cannot be found out. */
static int is_pipe_at_end(int fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
  /* Of the calls that tell an empty pipe from one without a writer, only this one takes nothing out. */
  ssize_t count = RETRIED(tee(fd, ends[1], 1, SPLICE_F_NONBLOCK));
  close(ends[0]);
  close(ends[1]);
  return count == 0;
}

/* Opens a regular file, and waits until another process gives up its lease (`fcntl_locking(2)`). The path may name something
 * else by now, so the file is held meanwhile. */
static int open_leased(const char *path, int options) {
  int held = RETRIED(open(path, O_PATH | O_CLOEXEC));
  if (held < 0) return held;
  struct stat status;
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", held);
  int fd = fstat(held, &status) == 0 && S_ISREG(status.st_mode)
      ? RETRIED(open(name, (options & ~(O_CREAT | O_EXCL)) | O_NOCTTY | O_CLOEXEC)) : -EWOULDBLOCK;
  close(held);
  return fd;
}

int swsys_open_for_child(const char *path, int options) {
  /* A named pipe would wait for its other end, and hold up the thread that spawns. */
  int fd = RETRIED(open(path, options | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666));
  if (fd == -EWOULDBLOCK) fd = open_leased(path, options);
  if (fd < 0) return fd;
  int flags = fcntl(fd, F_GETFL);
  int result = flags < 0 ? -errno : RESULT(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK));
  struct stat status;
  if (result == 0 && (options & O_ACCMODE) == O_RDONLY && fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode)) {
    /* Opening it for writing fails with the same error. */
    int is_at_end = is_pipe_at_end(fd);
    result = is_at_end > 0 ? -ENXIO : is_at_end;
  }
  if (result < 0) {
    close(fd);
    return result;
  }
  if (fd > 2) return fd;
  int moved = swsys_duplicate(fd, 3);
  close(fd);
  return moved;
}

char *const *swsys_environment(void) {
  extern char **environ;
  return environ;
}

int swsys_pidfd_missing(void) {
  /* No descriptor has this number, so a kernel that knows the call returns EBADF. */
  siginfo_t info = {0};
  int result = RETRIED(waitid((idtype_t)P_PIDFD, (id_t)INT_MAX, &info, WEXITED | WNOHANG));
  /* Before Linux 5.4 the kind itself is invalid. */
  if (result != -EBADF) return result == -EINVAL ? -ENOSYS : result < 0 ? result : -ENOSYS;
  result = swsys_pidfd_signal(INT_MAX, 0, false);
  return result == -EBADF ? 0 : result < 0 ? result : -ENOSYS;
}
int swsys_pidfd_reap(int pidfd, bool keeps, int *code) {
  siginfo_t info = {0};
  int result = RETRIED(
      waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | (keeps ? WNOWAIT : 0)));
  if (result < 0) return result;
  if (info.si_pid == 0) return 0;
  *code = info.si_status;
  return info.si_code == CLD_EXITED ? 1 : 2;
}
int swsys_pidfd_signal(int pidfd, int signal, bool group) {
  unsigned flags = group ? SWSYS_PIDFD_SIGNAL_PROCESS_GROUP : 0;
  return RESULT((int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, flags));
}
bool swsys_pidfd_signals_groups(void) {
  /* A kernel that does not know the flag returns an error for it first. */
  return swsys_pidfd_signal(INT_MAX, 0, true) == -EBADF;
}
int swsys_kill_group(pid_t group, int signal) { return RESULT(kill(-group, signal)); }
