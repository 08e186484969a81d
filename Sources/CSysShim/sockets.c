/* Stream sockets, and pairs of sockets of each kind. */
#include "support.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

const int swsys_sock_stream = SOCK_STREAM;
const int swsys_sock_seqpacket = SOCK_SEQPACKET;
const int swsys_sock_dgram = SOCK_DGRAM;

static int born_pair(int ends[2], int forks) {
  int result = swsys_above_standard_pair(ends);
  for (int i = 0; result == 0 && i < 2; i++) swsys_note_birth(ends[i], forks);
  return result;
}
int swsys_unix_pair(int ends[2], int type) {
  int forks = swsys_fork_count();
  int result = RESULT(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends));
  return result < 0 ? result : born_pair(ends, forks);
}

/* Linux has no socketpair for TCP, so this listens, connects and accepts. Another process on the host may
 * connect to the listener first, so accept is repeated until the peer has the address of our own end. */
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
  int listener = -1, client = -1, server = -1, error = 0, forks = swsys_fork_count();
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
    if (memcmp(&ours, &theirs, sizeof ours) == 0) break;
    close(server);
    server = -1;
  }
  close(listener);
  ends[0] = client;
  ends[1] = server;
  return born_pair(ends, forks);
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
int swsys_inline_out_of_band(int fd) {
  int on = 1;
  return RESULT(setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on));
}
int swsys_shutdown_receive(int fd) { return RESULT(shutdown(fd, SHUT_RD)); }
int swsys_shutdown_send(int fd) { return RESULT(shutdown(fd, SHUT_WR)); }

int swsys_unread_before_end(int fd) {
  struct pollfd polled = {.fd = fd, .events = POLLRDHUP};
  int ready = swsys_look(&polled);
  if (ready != 0) return ready < 0 ? ready : -ENODATA;
  int byte_count = 0;
  int result = RESULT(ioctl(fd, FIONREAD, &byte_count));
  return result < 0 ? result : byte_count;
}

bool swsys_queue_holds_something(int fd, bool is_stream) {
  /* A stream has no message without bytes, and poll does not tell its end from what is in front of it. A datagram
   * may consist of descriptors alone, and then FIONREAD returns 0. A listening socket has connections. */
  int byte_count = 0;
  if (is_stream && ioctl(fd, FIONREAD, &byte_count) == 0) return byte_count != 0;
  struct pollfd polled = {.fd = fd, .events = POLLIN};
  int ready = swsys_look(&polled);
  return ready < 0 || (ready > 0 && (polled.revents & POLLIN) != 0);
}
bool swsys_stream_may_hold_descriptors(int fd) {
  int byte_count = 0;
  if (ioctl(fd, FIONREAD, &byte_count) == 0 && byte_count == 0) return false;
  /* A look copies all bytes into the same room. Without room for control data, it reports that there was some. */
  enum { PARTS = 256 };
  char room[4096];
  struct iovec parts[PARTS];
  for (int i = 0; i < PARTS; i++) parts[i] = (struct iovec){.iov_base = room, .iov_len = sizeof room};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = PARTS};
  ssize_t seen = RETRIED(recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT));
  if (seen <= 0) return seen != -EAGAIN && seen != 0;
  /* A look stops at another writer's credentials, for example. */
  return (message.msg_flags & MSG_CTRUNC) || ioctl(fd, FIONREAD, &byte_count) < 0 || byte_count > seen;
}
bool swsys_unix_close_is_up_to_peer(int fd, int type, bool is_sole) {
  /* A look at the queue is good for nothing while a peer can put something into it. */
  if (is_sole) {
    if (shutdown(fd, SHUT_RD) < 0) return true;
  } else {
    /* Packets of other users of the socket have no mark, so an empty one looks like the end. */
    if (type != SOCK_STREAM) return true;
    struct pollfd polled = {.fd = fd, .events = POLLRDHUP};
    if (swsys_look(&polled) <= 0 || !(polled.revents & POLLRDHUP)) return true;
  }
  if (type == SOCK_SEQPACKET) return swsys_next_datagram_size(fd, true) != SWSYS_ENDED;
  if (type != SOCK_STREAM) return swsys_next_datagram_size(fd, false) != -EAGAIN;
  int byte_count = 0;
  if (ioctl(fd, FIONREAD, &byte_count) == 0 && byte_count == 0) return false;
  /* During the look another process may take what is seen, and leave the last reference to the look. */
  return !is_sole || swsys_stream_may_hold_descriptors(fd);
}
bool swsys_close_is_up_to_peer(int fd, bool is_sole) {
  int family = swsys_socket_family(fd);
  if (family < 0) return false;
  if (family != AF_UNIX) return swsys_lingers(fd);
  int type = swsys_socket_type(fd);
  /* Others may have it, and no endpoint reads from it: the look is all there is, and whoever binds its name again must not wait. */
  if (!is_sole) {
    bool is_stream = type == SOCK_STREAM && swsys_is_listening(fd) == 0;
    return is_stream ? swsys_stream_may_hold_descriptors(fd) : swsys_queue_holds_something(fd, false);
  }
  /* A packet socket that no transport has marked tells no empty packet from the end. */
  if (type == SOCK_SEQPACKET) is_sole = swsys_mark_packets(fd) == 0;
  return swsys_is_listening(fd) != 0 || swsys_unix_close_is_up_to_peer(fd, type, is_sole);
}

static atomic_int fork_count;
static void note_fork(void) { fork_count++; }
static void watch_forks(void) {
  /* Counted before and after: a socket may be made between this program's part of the preparation and the copy. */
  if (pthread_atfork(note_fork, note_fork, note_fork) != 0) fork_count = INT_MIN;
}
int swsys_fork_count(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  return fork_count;
}

/* For each socket that the library has made, one more than the count before. Sockets with higher numbers are taken to be
 * shared. */
static atomic_int births[1 << 16];
static bool has_birth(int fd) { return fd >= 0 && fd < (int)(sizeof births / sizeof *births); }
int swsys_note_birth(int fd, int forks) {
  if (has_birth(fd)) atomic_store_explicit(&births[fd], forks < 0 ? 0 : forks + 1, memory_order_relaxed);
  return fd;
}
int swsys_birth(int fd) {
  return has_birth(fd) ? atomic_load_explicit(&births[fd], memory_order_relaxed) - 1 : -1;
}

ssize_t swsys_sendv(int fd, const struct iovec *parts, int count) {
  if (count == 1)
    return RETRIED(send(fd, parts[0].iov_base, parts[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL));
  struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
  return RETRIED(sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

ssize_t swsys_peek(int fd, void *bytes, size_t count) {
  return RETRIED(recv(fd, bytes, count, MSG_DONTWAIT | MSG_PEEK));
}
