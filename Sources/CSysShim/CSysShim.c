#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CSysShim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define RESULT(call) ({ __typeof__(call) result_ = (call); result_ < 0 ? -errno : result_; })
#define RETRIED(call) \
  ({ __typeof__(call) result_; do result_ = (call); while (result_ < 0 && errno == EINTR); \
     result_ < 0 ? -errno : result_; })

/* ---- descriptors ---- */

int swsys_close(int fd) {
  /* EINTR from close is no reason to try again: on Linux the number is free by then. */
  return RESULT(close(fd));
}
int swsys_duplicate(int fd, int lowest) { return RESULT(fcntl(fd, F_DUPFD_CLOEXEC, lowest)); }
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
  return flags < 0 ? flags : flags & O_ACCMODE;
}
int swsys_is_nonblocking(int fd) {
  int flags = RESULT(fcntl(fd, F_GETFL));
  return flags < 0 ? flags : (flags & O_NONBLOCK) != 0;
}
int swsys_reopen_nonblocking(int fd, int mode) {
  /* To open the master of pseudo-terminals (device 5, 2) makes another terminal. */
  struct stat status;
  if (fstat(fd, &status) < 0) return -errno;
  if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(5, 2)) return -ENXIO;
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int own = RETRIED(open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
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
int swsys_replace_with_null(int fd) {
  int null = RETRIED(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null < 0) return null;
  int result = RETRIED(dup2(null, fd));
  if (null != fd) close(null);
  return result < 0 ? result : 0;
}
int swsys_pipe(int ends[2]) { return RESULT(pipe2(ends, O_CLOEXEC)); }
int swsys_packet_pipe(int ends[2], bool declared) {
  int result = RESULT(pipe2(ends, O_CLOEXEC | O_DIRECT));
  return result < 0 || !declared ? result : RESULT(fcntl(ends[0], F_SETFL, O_DIRECT));
}
ssize_t swsys_splice(int from, int to, size_t count) {
  return RETRIED(splice(from, NULL, to, NULL, count, 0));
}

int swsys_kind(int fd) {
  struct stat status;
  if (fstat(fd, &status) < 0) return -errno;
  if (S_ISFIFO(status.st_mode)) return SWSYS_PIPE;
  if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || S_ISDIR(status.st_mode))
    return SWSYS_ALWAYS_READY;
  if (!S_ISSOCK(status.st_mode)) return SWSYS_OTHER;
  int type;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) return -errno;
  return type == SOCK_STREAM ? SWSYS_STREAM_SOCKET
      : type == SOCK_SEQPACKET ? SWSYS_PACKET_SOCKET : SWSYS_DATAGRAM_SOCKET;
}

/* ---- sockets ---- */

const int swsys_sock_stream = SOCK_STREAM;
const int swsys_sock_seqpacket = SOCK_SEQPACKET;
const int swsys_sock_dgram = SOCK_DGRAM;

int swsys_unix_pair(int ends[2], int type) {
  return RESULT(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends));
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b) {
  if (a->ss_family != b->ss_family) return false;
  if (a->ss_family == AF_INET) {
    const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
    return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
  }
  const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
  return x->sin6_port == y->sin6_port && !memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr);
}

/* Linux has no socketpair for TCP: listen, connect, accept. Anybody on the host may connect to the
 * listener first, so accept goes on until it meets the address that our own end has. */
int swsys_tcp_pair(int ends[2], bool v6) {
  struct sockaddr_storage address = {0}, ours, theirs;
  socklen_t length;
  if (v6) {
    struct sockaddr_in6 *a = (void *)&address;
    a->sin6_family = AF_INET6;
    a->sin6_addr = in6addr_loopback;
    length = sizeof *a;
  } else {
    struct sockaddr_in *a = (void *)&address;
    a->sin_family = AF_INET;
    a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    length = sizeof *a;
  }
  int listener = -1, client = -1, server = -1, error = 0;
  if ((listener = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) goto failed;
  if (bind(listener, (void *)&address, length) < 0 || listen(listener, 8) < 0) goto failed;
  socklen_t room = sizeof address;
  if (getsockname(listener, (void *)&address, &room) < 0) goto failed;
  if ((client = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) goto failed;
  if (connect(client, (void *)&address, room) < 0) {
    if (errno != EINTR) goto failed;
    struct pollfd wait = {.fd = client, .events = POLLOUT};
    int n;
    while ((n = poll(&wait, 1, -1)) < 0 && errno == EINTR) {}
    socklen_t size = sizeof error;
    if (n < 0 || getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &size) < 0) goto failed;
    if (error) { errno = error; goto failed; }
  }
  room = sizeof ours;
  memset(&ours, 0, sizeof ours);
  if (getsockname(client, (void *)&ours, &room) < 0) goto failed;
  for (;;) {
    memset(&theirs, 0, sizeof theirs);
    room = sizeof theirs;
    server = accept4(listener, (void *)&theirs, &room, SOCK_CLOEXEC);
    if (server < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (server < 0) goto failed;
    if (same_address(&ours, &theirs)) break;
    close(server);
    server = -1;
  }
  close(listener);
  ends[0] = client;
  ends[1] = server;
  return 0;
failed:
  error = errno;
  if (listener >= 0) close(listener);
  if (client >= 0) close(client);
  return -error;
}

int swsys_set_no_delay(int fd, bool on) {
  int value = on;
  return RESULT(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value));
}
int swsys_get_no_delay(int fd) {
  int value = 0;
  socklen_t length = sizeof value;
  int result = RESULT(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &length));
  return result < 0 ? result : value != 0;
}
int swsys_set_buffer_sizes(int fd, int send, int receive) {
  if (send > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof send) < 0) return -errno;
  if (receive > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive) < 0) return -errno;
  return 0;
}
int swsys_set_linger_reset(int fd) {
  struct linger value = {.l_onoff = 1, .l_linger = 0};
  return RESULT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value));
}
int swsys_shutdown_send(int fd) { return RESULT(shutdown(fd, SHUT_WR)); }

ssize_t swsys_recv(int fd, void *bytes, size_t count) {
  return RETRIED(recv(fd, bytes, count, MSG_DONTWAIT));
}
ssize_t swsys_sendv(int fd, const struct iovec *parts, int count) {
  if (count == 1)
    return RETRIED(send(fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL));
  struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
  return RETRIED(sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* A seqpacket socket answers a receive with 0 for an empty packet and at its end alike. Its end is only there
 * once the peer has shut down; and a packet, unlike the end, brings the sender's credentials if they are asked
 * for, which is done for the length of one look, when there is no other way to tell. */
static ssize_t empty_or_ended(int fd) {
  struct pollfd polled = {.fd = fd, .events = POLLRDHUP};
  int ready = RETRIED(poll(&polled, 1, 0));
  if (ready < 0) return ready;
  if (!(polled.revents & (POLLRDHUP | POLLHUP))) return 0;
  int before = 0, on = 1;
  socklen_t length = sizeof before;
  if (getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &before, &length) < 0) return SWSYS_ENDED;
  if (!before && setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) return SWSYS_ENDED;
  struct msghdr message = {0};
  ssize_t result = RETRIED(recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT));
  if (!before) setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &before, sizeof before);
  if (result < 0) return result;
  /* There is no room for credentials, so the kernel says that they were cut off. */
  return message.msg_flags & (MSG_CTRUNC | MSG_TRUNC) ? 0 : SWSYS_ENDED;
}

ssize_t swsys_next_datagram_size(int fd, bool is_packet) {
  ssize_t size = RETRIED(recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT));
  return size == 0 && is_packet ? empty_or_ended(fd) : size;
}

ssize_t swsys_receive_accompanied(int fd, void *bytes, size_t count, struct swsys_companions *companions,
                                  size_t *received) {
  union {
    char bytes[CMSG_SPACE(sizeof companions->descriptors) + CMSG_SPACE(sizeof(struct ucred)) + 256];
    struct cmsghdr header;
  } control;
  struct iovec part = {.iov_base = bytes, .iov_len = count};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
      .msg_name = companions->address, .msg_namelen = sizeof companions->address};
  ssize_t result = RETRIED(recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  *received = result > 0 ? (size_t)result : 0;
  companions->descriptor_count = 0;
  companions->address_length = 0;
  companions->is_cut = false;
  if (result < 0) return result;
  companions->is_cut = (message.msg_flags & MSG_TRUNC) != 0;
  if (message.msg_namelen <= sizeof companions->address) companions->address_length = message.msg_namelen;
  int total = 0;
  for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    int number = (int)((item->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < number; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(item) + (size_t)i * sizeof descriptor, sizeof descriptor);
      if (total < (int)(sizeof companions->descriptors / sizeof(int))) {
        companions->descriptors[total++] = descriptor;
      } else {
        close(descriptor);
        message.msg_flags |= MSG_CTRUNC;
      }
    }
  }
  if (message.msg_flags & MSG_CTRUNC) {
    for (int i = 0; i < total; i++) close(companions->descriptors[i]);
    return -EMFILE;
  }
  companions->descriptor_count = total;
  return result;
}

ssize_t swsys_send_accompanied(int fd, const struct iovec *parts, int count, const int *descriptors,
                               int descriptor_count, const void *address, unsigned address_length) {
  union {
    char bytes[CMSG_SPACE(253 * sizeof(int))];
    struct cmsghdr header;
  } control;
  if (descriptor_count > 253) return -EINVAL;
  struct msghdr message = {
      .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count,
      .msg_name = address_length ? (void *)address : NULL, .msg_namelen = address_length};
  if (descriptor_count > 0) {
    size_t size = (size_t)descriptor_count * sizeof(int);
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *item = CMSG_FIRSTHDR(&message);
    *item = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)};
    memcpy(CMSG_DATA(item), descriptors, size);
  }
  return RETRIED(sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

enum { MOST_AT_ONCE = 64 };

int swsys_send_datagrams(int fd, const struct iovec *parts, int count) {
  struct mmsghdr messages[MOST_AT_ONCE] = {0};
  if (count > MOST_AT_ONCE) count = MOST_AT_ONCE;
  for (int i = 0; i < count; i++)
    messages[i].msg_hdr = (struct msghdr){.msg_iov = (struct iovec *)&parts[i], .msg_iovlen = 1};
  return RETRIED(sendmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT | MSG_NOSIGNAL));
}

bool swsys_is_udp(int fd) {
  int family = 0, protocol = 0;
  socklen_t length = sizeof family;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) < 0) return false;
  if (family != AF_INET && family != AF_INET6) return false;
  length = sizeof protocol;
  return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 && protocol == IPPROTO_UDP;
}

int swsys_receive_datagrams(int fd, void *slots, size_t slot_size, int count, struct swsys_datagram *found) {
  struct mmsghdr messages[MOST_AT_ONCE];
  struct iovec parts[MOST_AT_ONCE];
  if (count > MOST_AT_ONCE) count = MOST_AT_ONCE;
  for (int i = 0; i < count; i++) {
    parts[i] = (struct iovec){.iov_base = (char *)slots + (size_t)i * slot_size, .iov_len = slot_size};
    messages[i] = (struct mmsghdr){.msg_hdr = {
        .msg_iov = &parts[i], .msg_iovlen = 1, .msg_name = found[i].address,
        .msg_namelen = sizeof found[i].address}};
  }
  int result = RETRIED(recvmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT, NULL));
  for (int i = 0; i < result; i++) {
    const struct msghdr *header = &messages[i].msg_hdr;
    found[i].byte_count = messages[i].msg_len;
    found[i].is_cut = (header->msg_flags & MSG_TRUNC) != 0;
    found[i].address_length = header->msg_namelen <= sizeof found[i].address ? header->msg_namelen : 0;
  }
  return result;
}

ssize_t swsys_peek(int fd, void *bytes, size_t count) {
  return RETRIED(recv(fd, bytes, count, MSG_DONTWAIT | MSG_PEEK));
}

/* ---- pipes and the rest ---- */

ssize_t swsys_read(int fd, void *bytes, size_t count) { return RETRIED(read(fd, bytes, count)); }

static ssize_t plain_write(int fd, const struct iovec *parts, int count, bool nowait) {
  if (nowait) return swsys_write_nowait(fd, parts, count, false, true);
  return count == 1 ? RETRIED(write(fd, parts[0].iov_base, parts[0].iov_len))
                    : RETRIED(writev(fd, parts, count));
}

/* A write to a pipe without a reader sends SIGPIPE to the writing thread, and only MSG_NOSIGNAL and
 * RWF_NOSIGNAL turn it off. Where neither exists the signal is blocked in this thread for the call,
 * and taken back if the call raised it; one that was pending before is left pending. */
ssize_t swsys_write_guarded(int fd, const struct iovec *parts, int count, bool nowait) {
  sigset_t sigpipe, before, pending;
  sigemptyset(&sigpipe);
  sigaddset(&sigpipe, SIGPIPE);
  sigpending(&pending);
  if (sigismember(&pending, SIGPIPE)) return plain_write(fd, parts, count, nowait);  /* so it is blocked already */
  int error = pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
  if (error) return -error;
  ssize_t result = plain_write(fd, parts, count, nowait);
  if (result == -EPIPE) {
    struct timespec none = {0};
    while (sigtimedwait(&sigpipe, NULL, &none) < 0 && errno == EINTR) {}
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return result;
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
bool swsys_is_hung_up(int fd, int interest) {
  short ready = (interest & SWSYS_READABLE ? POLLIN : 0) | (interest & SWSYS_WRITABLE ? POLLOUT : 0);
  struct pollfd polled = {.fd = fd, .events = ready};
  if (RETRIED(poll(&polled, 1, 0)) <= 0) return false;
  return (polled.revents & (POLLHUP | POLLERR)) && !(polled.revents & ready);
}
int swsys_poll_now(int fd, int interest) {
  struct pollfd polled = {
      .fd = fd,
      .events = (interest & SWSYS_READABLE ? POLLIN : 0) | (interest & SWSYS_WRITABLE ? POLLOUT : 0)};
  return RETRIED(poll(&polled, 1, 0));
}

bool swsys_probe_nowait(void) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return false;
  char byte = 0;
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  bool works = swsys_read_nowait(ends[0], &byte, 1) == -EAGAIN
      && swsys_write_nowait(ends[1], &part, 1, false, true) == 1
      && swsys_read_nowait(ends[0], &byte, 1) == 1;
  close(ends[0]);
  close(ends[1]);
  return works;
}
bool swsys_probe_nosignal(void) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return false;
  char byte = 0;
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  /* With a reader there: a kernel that does not know the flag says EOPNOTSUPP, and nobody is signalled. */
  bool works = swsys_write_nowait(ends[1], &part, 1, true, true) == 1;
  close(ends[0]);
  close(ends[1]);
  return works;
}

/* ---- waiting ---- */

int swsys_eventfd(void) { return RESULT(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
int swsys_eventfd_signal(int fd) {
  uint64_t one = 1;
  return (int)RETRIED(write(fd, &one, sizeof one));
}
int swsys_eventfd_drain(int fd) {
  uint64_t value;
  return (int)RETRIED(read(fd, &value, sizeof value));
}

int swsys_wait(int fd, int interest, int wake, int64_t nanoseconds) {
  short events = (interest & SWSYS_READABLE ? POLLIN : 0) | (interest & SWSYS_WRITABLE ? POLLOUT : 0);
  struct pollfd polled[2];
  nfds_t count = 0;
  int at_fd = -1, at_wake = -1;
  if (fd >= 0) { at_fd = (int)count; polled[count++] = (struct pollfd){.fd = fd, .events = events}; }
  if (wake >= 0) { at_wake = (int)count; polled[count++] = (struct pollfd){.fd = wake, .events = POLLIN}; }
  struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  if (ppoll(polled, count, nanoseconds < 0 ? NULL : &limit, NULL) <= 0) return 0;
  return (at_fd >= 0 && polled[at_fd].revents ? 1 : 0) | (at_wake >= 0 && polled[at_wake].revents ? 2 : 0);
}

static uint64_t clock_nanoseconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
uint64_t swsys_now(void) { return clock_nanoseconds(CLOCK_MONOTONIC); }
uint64_t swsys_thread_cpu(void) { return clock_nanoseconds(CLOCK_THREAD_CPUTIME_ID); }

int swsys_epoll_create(void) { return RESULT(epoll_create1(EPOLL_CLOEXEC)); }
static int epoll_change(int epoll, int operation, int fd, uint64_t key, int interest) {
  struct epoll_event event = {
      .events = (interest & SWSYS_READABLE ? EPOLLIN | EPOLLRDHUP | EPOLLPRI : 0)
          | (interest & SWSYS_WRITABLE ? EPOLLOUT : 0) | EPOLLET,
      .data.u64 = key};
  return RESULT(epoll_ctl(epoll, operation, fd, &event));
}
int swsys_epoll_add(int epoll, int fd, uint64_t key, int interest) {
  return epoll_change(epoll, EPOLL_CTL_ADD, fd, key, interest);
}
int swsys_epoll_modify(int epoll, int fd, uint64_t key, int interest) {
  return epoll_change(epoll, EPOLL_CTL_MOD, fd, key, interest);
}
int swsys_epoll_add_level(int epoll, int fd, uint64_t key) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = key};
  return RESULT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}
int swsys_epoll_delete(int epoll, int fd) { return RESULT(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL)); }

int swsys_epoll_wait(int epoll, struct swsys_event *events, int count, int64_t nanoseconds) {
  struct epoll_event found[128];
  if (count > 128) count = 128;
  static _Atomic bool lacks_pwait2;
  int n = -1;
  if (nanoseconds > 0 && !lacks_pwait2) {
    struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    n = RESULT((int)syscall(SYS_epoll_pwait2, epoll, found, count, &limit, NULL, 0));
    if (n == -ENOSYS) lacks_pwait2 = true;
  } else {
    n = -ENOSYS;
  }
  if (n == -ENOSYS) {
    int64_t milliseconds = nanoseconds <= 0 ? nanoseconds : (nanoseconds - 1) / 1000000 + 1;
    int limit = nanoseconds < 0 ? -1 : milliseconds > INT_MAX ? INT_MAX : (int)milliseconds;
    n = RESULT(epoll_wait(epoll, found, count, limit));
  }
  if (n == -EINTR) return 0;
  for (int i = 0; i < n; i++) {
    uint32_t e = found[i].events;
    events[i].key = found[i].data.u64;
    events[i].readiness = (e & (EPOLLIN | EPOLLRDHUP | EPOLLPRI) ? SWSYS_READABLE : 0)
        | (e & EPOLLOUT ? SWSYS_WRITABLE : 0) | (e & (EPOLLHUP | EPOLLERR) ? SWSYS_HUNG_UP : 0)
        | (e & EPOLLPRI ? SWSYS_URGENT : 0);
  }
  return n;
}

/* ---- threads and processes ---- */

struct start { void (*run)(void *); void *context; char name[16]; };
static void *thread_main(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  /* Named from inside: to who started it, a detached thread may be gone already. */
  pthread_setname_np(pthread_self(), start.name);
  start.run(start.context);
  return NULL;
}

int swsys_start_thread(void (*run)(void *), void *context, const char *name) {
  struct start *start = malloc(sizeof *start);
  if (!start) return -ENOMEM;
  *start = (struct start){.run = run, .context = context};
  snprintf(start->name, sizeof start->name, "%s", name);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, thread_main, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (error) { free(start); return -error; }
  return 0;
}

static __thread bool is_reactor_thread;
void swsys_mark_reactor_thread(void) { is_reactor_thread = true; }
bool swsys_is_reactor_thread(void) { return is_reactor_thread; }

int swsys_thread_count(void) {
  DIR *tasks = opendir("/proc/self/task");
  if (!tasks) return -errno;
  int count = 0;
  for (struct dirent *entry; (entry = readdir(tasks));) count += entry->d_name[0] != '.';
  closedir(tasks);
  return count;
}

int swsys_spawn(const struct swsys_spawn *request, pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int error = posix_spawn_file_actions_init(&actions);
  if (error) return -error;
  if ((error = posix_spawnattr_init(&attributes))) {
    posix_spawn_file_actions_destroy(&actions);
    return -error;
  }
  /* Sources are moved above every target first, so that no dup2 overwrites one that is still needed. */
  int highest = 2;
  for (int i = 0; i < request->count; i++)
    if (request->targets[i] > highest) highest = request->targets[i];
  if (highest == INT_MAX) error = EBADF;
  int moved[8], taken = 0;
  if (request->count > 8) error = EINVAL;
  for (int i = 0; i < request->count && !error; i++) {
    int copy = fcntl(request->sources[i], F_DUPFD_CLOEXEC, highest + 1);
    if (copy < 0) { error = errno; break; }
    moved[taken++] = copy;
    error = posix_spawn_file_actions_adddup2(&actions, copy, request->targets[i]);
  }
  /* Nothing else leaks, whatever flags others forgot. */
  for (int number = 3; number <= highest && !error; number++) {
    bool wanted = false;
    for (int i = 0; i < request->count; i++) wanted |= request->targets[i] == number;
    if (!wanted) error = posix_spawn_file_actions_addclose(&actions, number);
  }
  if (!error) error = posix_spawn_file_actions_addclosefrom_np(&actions, highest + 1);
  if (!error && request->working_directory)
    error = posix_spawn_file_actions_addchdir_np(&actions, request->working_directory);
  /* The child begins with no signal blocked and every disposition at its default. */
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!error) error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  extern char **environ;
  char *const *environment = request->environment ? request->environment : environ;
  if (!error)
    error = request->search_path
        ? posix_spawnp(pid, request->path, &actions, &attributes, request->arguments, environment)
        : posix_spawn(pid, request->path, &actions, &attributes, request->arguments, environment);
  for (int i = 0; i < taken; i++) close(moved[i]);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return -error;
}

void swsys_abandon(pid_t pid) {
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
}
char *const *swsys_environment(void) {
  extern char **environ;
  return environ;
}

int swsys_pidfd_open(pid_t pid) {
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
  return RESULT((int)syscall(SYS_pidfd_open, pid, 0));
}
int swsys_pidfd_reap(int pidfd, int *code) {
  siginfo_t info = {0};
  int result = RETRIED(waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG));
  if (result < 0) return result;
  if (info.si_pid == 0) return 0;
  *code = info.si_status;
  return info.si_code == CLD_EXITED ? 1 : 2;
}
int swsys_pidfd_signal(int pidfd, int signal) {
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
  return RESULT((int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}
