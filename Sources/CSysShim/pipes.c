/* Pipes, terminals, files: reads and writes that do not wait and raise no SIGPIPE. */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif


ssize_t swsys_read(int fd, void *bytes, size_t count) { return RETRIED(read(fd, bytes, count)); }

static ssize_t write_plain(int fd, const struct iovec *parts, int count) {
  return count == 1 ? RETRIED(write(fd, parts[0].iov_base, parts[0].iov_len))
                    : RETRIED(writev(fd, parts, count));
}
static ssize_t write_nowait(int fd, const struct iovec *parts, int count) {
  return swsys_write_nowait(fd, parts, count, false, true);
}

/* The one call that takes "do not wait" for every pipe, also for one whose flags others change, is splice. It moves bytes
 * between pipes, so they come and go through a pipe that exists for this call. */
static bool is_refused(ssize_t result) {
  return result == -EINVAL || result == -ENOSYS || result == -EPERM || result == -EACCES;
}
ssize_t swsys_splice_in(int fd, void *bytes, size_t count) {
  int ends[2];
  if (swsys_pipe(ends) < 0) return -EOPNOTSUPP;
  /* With room for one buffer it takes no second packet of a writer with O_DIRECT. */
  int room = fcntl(ends[1], F_SETPIPE_SZ, 1);
  ssize_t result = room < 0 ? -EPERM : RETRIED(splice(fd, NULL, ends[1], NULL, count, SPLICE_F_NONBLOCK));
  if (result > 0) result = RETRIED(read(ends[0], bytes, (size_t)result));
  swsys_close(ends[0]);
  swsys_close(ends[1]);
  return is_refused(result) ? -EOPNOTSUPP : result;
}
static ssize_t write_spliced(int fd, const struct iovec *parts, int count) {
  int ends[2];
  if (swsys_pipe(ends) < 0) return -EOPNOTSUPP;
  /* A buffer keeps its mark as a packet when it moves. A reader's call ends behind a packet, but not behind other bytes: so
   * if only some were marked, it would meet a packet with too little room left, and lose the rest of it. */
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && flags & O_DIRECT) fcntl(ends[1], F_SETFL, O_DIRECT);
  /* Up to PIPE_BUF bytes that one call writes into an empty pipe are one buffer, and splice moves it whole or not at all. */
  ssize_t written = write_plain(ends[1], parts, count);
  ssize_t moved = written;
  if (written > 0) moved = RETRIED(splice(ends[0], NULL, fd, NULL, (size_t)written, SPLICE_F_NONBLOCK));
  swsys_close(ends[0]);
  swsys_close(ends[1]);
  return is_refused(moved) ? -EOPNOTSUPP : moved;
}

/* A write to a pipe without a reader sends SIGPIPE to the writing thread. Only MSG_NOSIGNAL and RWF_NOSIGNAL
 * turn that off. If neither exists, the signal is blocked in this thread during the call, and taken back if the
 * call raised it. A signal that was pending before stays pending. */
static ssize_t guarded(ssize_t (*call)(int, const struct iovec *, int), int fd, const struct iovec *parts, int count) {
  sigset_t sigpipe, before, pending;
  sigemptyset(&sigpipe);
  sigaddset(&sigpipe, SIGPIPE);
  sigpending(&pending);
  if (sigismember(&pending, SIGPIPE)) return call(fd, parts, count);  /* so it is blocked already */
  int error = pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
  if (error) return -error;
  ssize_t result = call(fd, parts, count);
  if (result == -EPIPE) {
    struct timespec none = {0};
    while (sigtimedwait(&sigpipe, NULL, &none) < 0 && errno == EINTR) {}
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return result;
}
ssize_t swsys_write_guarded(int fd, const struct iovec *parts, int count, bool nowait) {
  return guarded(nowait ? write_nowait : write_plain, fd, parts, count);
}
ssize_t swsys_splice_out(int fd, const struct iovec *parts, int count) {
  return guarded(write_spliced, fd, parts, count);
}

/* The libc wrappers of preadv2 and pwritev2 refuse or emulate flags they do not know, so the kernel is
 * asked directly. The offset -1 (its low and high halves) means the descriptor's own position. */
ssize_t swsys_read_nowait(int fd, void *bytes, size_t count) {
  struct iovec part = {.iov_base = bytes, .iov_len = count};
  return RETRIED(syscall(SYS_preadv2, fd, &part, 1, -1L, -1L, RWF_NOWAIT));
}
ssize_t swsys_write_nowait(int fd, const struct iovec *parts, int count, bool no_signal, bool nowait) {
  int flags = (nowait ? RWF_NOWAIT : 0) | (no_signal ? RWF_NOSIGNAL : 0);
  return RETRIED(syscall(SYS_pwritev2, fd, parts, count, -1L, -1L, flags));
}

bool swsys_is_anonymous_pipe(int fd) {
  struct statfs status;
  return fstatfs(fd, &status) == 0 && status.f_type == 0x50495045;  /* PIPEFS_MAGIC */
}
bool swsys_is_terminal(int fd) { return isatty(fd) == 1; }
bool swsys_is_canonical(int fd) {
  struct termios settings;
  return tcgetattr(fd, &settings) == 0 && (settings.c_lflag & ICANON) != 0;
}
bool swsys_may_return_nothing(int fd) {
  struct termios settings;
  return tcgetattr(fd, &settings) == 0 && !(settings.c_lflag & ICANON) && settings.c_cc[VMIN] == 0;
}
bool swsys_is_in_background(int fd) {
  pid_t front = tcgetpgrp(fd);
  if (front <= 0 || front == getpgrp()) return false;
  /* A program that ignores the signal has asked for the error. */
  struct sigaction action;
  if (sigaction(SIGTTIN, NULL, &action) == 0 && action.sa_handler == SIG_IGN) return false;
  /* Without a parent in the session, nothing would bring the program to the front again. */
  pid_t parent = getppid();
  return parent > 0 && getsid(parent) == getsid(0);
}
bool swsys_is_hung_up(int fd, int interest) {
  short ready = (interest & SWSYS_READABLE ? POLLIN : 0) | (interest & SWSYS_WRITABLE ? POLLOUT : 0);
  struct pollfd polled = {.fd = fd, .events = ready};
  if (swsys_look(&polled) <= 0) return false;
  return (polled.revents & (POLLHUP | POLLERR)) && !(polled.revents & ready);
}
int swsys_poll_now(int fd, int interest) {
  struct pollfd polled = {
      .fd = fd,
      .events = (interest & SWSYS_READABLE ? POLLIN : 0) | (interest & SWSYS_WRITABLE ? POLLOUT : 0)};
  return swsys_look(&polled);
}

int swsys_probe_nowait(void) {
  int ends[2];
  int made = swsys_pipe(ends);
  if (made < 0) return made;
  char byte = 0;
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  bool works = swsys_read_nowait(ends[0], &byte, sizeof byte) == -EAGAIN
      && swsys_write_nowait(ends[1], &part, 1, false, true) == 1
      && swsys_read_nowait(ends[0], &byte, sizeof byte) == 1;
  close(ends[0]);
  close(ends[1]);
  return works;
}
int swsys_probe_nosignal(void) {
  int ends[2];
  int made = swsys_pipe(ends);
  if (made < 0) return made;
  char byte = 0;
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  /* The pipe has a reader, so a kernel that does not know the flag returns EOPNOTSUPP and raises no signal. */
  bool works = swsys_write_nowait(ends[1], &part, 1, true, true) == 1;
  close(ends[0]);
  close(ends[1]);
  return works;
}
