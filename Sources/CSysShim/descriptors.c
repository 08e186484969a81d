/* Descriptors: their flags, their kinds, descriptions of our own. */
#include "support.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

int swsys_close(int fd) {
  /* close must not be repeated after EINTR, because Linux has freed the number by then. */
  return RESULT(close(fd));
}
int swsys_above_standard(int fd) {
  if (fd < 0 || fd > 2) return fd;
  int copy = RESULT(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  close(fd);
  return copy;
}
int swsys_above_standard_pair(int ends[2]) {
  for (int i = 0; i < 2; i++) {
    ends[i] = swsys_above_standard(ends[i]);
    if (ends[i] >= 0) continue;
    close(ends[1 - i]);
    return ends[i];
  }
  return 0;
}
long swsys_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX) return INT_MAX;
  return (long)limit.rlim_cur;
}
bool swsys_kernel_is_at_least(int major, int minor) {
  struct utsname name;
  int found_major = 0, found_minor = 0;
  if (uname(&name) < 0 || sscanf(name.release, "%d.%d", &found_major, &found_minor) != 2) return false;
  return found_major > major || (found_major == major && found_minor >= minor);
}
int swsys_duplicate(int fd, int lowest) {
  return swsys_note_birth(RESULT(fcntl(fd, F_DUPFD_CLOEXEC, lowest)), swsys_birth(fd));
}
int swsys_get_close_on_exec(int fd) {
  int flags = RESULT(fcntl(fd, F_GETFD));
  return flags < 0 ? flags : (flags & FD_CLOEXEC) != 0;
}
int swsys_set_close_on_exec(int fd, bool on) {
  int flags = RESULT(fcntl(fd, F_GETFD));
  if (flags < 0) return flags;
  return RESULT(fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC));
}
int swsys_access_mode(int fd) {
  int flags = RESULT(fcntl(fd, F_GETFL));
  if (flags < 0) return flags;
  /* O_PATH: the descriptor names a file, and can neither be read nor written. */
  return flags & O_PATH ? -EBADF : flags & O_ACCMODE;
}
int swsys_is_nonblocking(int fd) {
  int flags = RESULT(fcntl(fd, F_GETFL));
  return flags < 0 ? flags : (flags & O_NONBLOCK) != 0;
}
int swsys_reopen_nonblocking(int fd, int mode) {
  /* Opening a device may have effects: the master of pseudo-terminals makes another terminal, a watchdog
   * starts, a tape rewinds. Terminals and the memory devices (null, zero and the like) have none. */
  struct stat status;
  if (fstat(fd, &status) < 0) return -errno;
  bool is_known = S_ISFIFO(status.st_mode)
      || (S_ISCHR(status.st_mode) && status.st_rdev != makedev(5, 2)
          && (major(status.st_rdev) == 1 || isatty(fd)));
  if (!is_known) return -ENXIO;
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int own = swsys_above_standard(RETRIED(open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)));
  /* Pipes refuse O_DIRECT in open, and take it from fcntl. */
  if (own >= 0 && swsys_keeps_packets(fd)) {
    int error = RETRIED(fcntl(own, F_SETFL, O_NONBLOCK | O_DIRECT));
    if (error < 0) {
      close(own);
      return error;
    }
  }
  return own;
}
bool swsys_keeps_packets(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode)) return false;
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_DIRECT) != 0;
}
static bool is_shortage(int result) { return result == -EMFILE || result == -ENFILE; }

/* Where there is no /dev/null, such as in an empty root directory: the reading end of a pipe that nobody writes to. A
 * read finds the end, and a write fails with EBADF, without SIGPIPE. */
static int open_null(void) {
  int null = RETRIED(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null >= 0 || is_shortage(null)) return null;
  int ends[2];
  int result = RESULT(pipe2(ends, O_CLOEXEC));
  if (result < 0) return result;
  close(ends[1]);
  return ends[0];
}

int swsys_replace_with_null(int fd) {
  int null = open_null();
  if (is_shortage(null)) {
    /* Only this number itself can be freed. If another thread takes it in between, it belongs to that thread. */
    close(fd);
    null = open_null();
    if (null > 2) close(null);
    return 0;
  }
  if (null < 0) return null;
  int result = RETRIED(dup2(null, fd));
  if (null != fd) close(null);
  return result < 0 ? result : 0;
}
int swsys_pipe(int ends[2]) {
  int result = RESULT(pipe2(ends, O_CLOEXEC));
  return result < 0 ? result : swsys_above_standard_pair(ends);
}
int swsys_kind(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0) return -errno;
  if (S_ISFIFO(status.st_mode)) return SWSYS_PIPE;
  if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) return SWSYS_ALWAYS_READY;
  if (S_ISCHR(status.st_mode)) return SWSYS_OTHER;
  if (S_ISDIR(status.st_mode)) return -EISDIR;
  /* An anonymous inode is no stream of bytes: an eventfd, an epoll, a timer. */
  if (!S_ISSOCK(status.st_mode)) return -EINVAL;
  int type;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) return -errno;
  return type == SOCK_STREAM ? SWSYS_STREAM_SOCKET
      : type == SOCK_SEQPACKET ? SWSYS_PACKET_SOCKET : SWSYS_DATAGRAM_SOCKET;
}
