/* Listening, connecting, accepting, and the peer's credentials. */
#include "support.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

int swsys_socket(int family, int type) {
  int forks = swsys_fork_count(), nonblocking = type == SOCK_DGRAM ? 0 : SOCK_NONBLOCK;
  int fd = swsys_above_standard(RESULT(socket(family, type | SOCK_CLOEXEC | nonblocking, 0)));
  return swsys_note_birth(fd, forks);
}
/* The descriptor is nonblocking, so a signal never interrupts the call. */
int swsys_connect(int fd, const void *address, unsigned length) {
  return RETRIED(connect(fd, address, length));
}
/* The connection has been made, and blocks from now on. A socket that has just been made has no other flag. */
void swsys_end_connecting(int fd) { fcntl(fd, F_SETFL, 0); }
int swsys_socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  int result = RESULT(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
  return result < 0 ? result : -error;
}
int swsys_bind(int fd, const void *address, unsigned length) { return RESULT(bind(fd, address, length)); }
int swsys_listen(int fd, int backlog) { return RESULT(listen(fd, backlog)); }
/* The connection blocks, as others expect it that get it by descriptor: no attempt of the library's depends on that. */
int swsys_accept(int fd) {
  int forks = swsys_fork_count();
  return swsys_note_birth(swsys_above_standard(RETRIED(accept4(fd, NULL, NULL, SOCK_CLOEXEC))), forks);
}
int swsys_socket_address(int fd, bool of_peer, void *address, unsigned size) {
  socklen_t length = size;
  int result = RESULT(of_peer ? getpeername(fd, address, &length) : getsockname(fd, address, &length));
  return result < 0 ? result : (int)(length < size ? length : size);
}
bool swsys_has_peer(int fd) {
  struct sockaddr_storage address;
  return swsys_socket_address(fd, true, &address, sizeof address) >= 0;
}
static int number_option(int fd, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  int result = RESULT(getsockopt(fd, SOL_SOCKET, name, &value, &size));
  return result < 0 ? result : value;
}
int swsys_socket_family(int fd) { return number_option(fd, SO_DOMAIN); }
int swsys_socket_type(int fd) { return number_option(fd, SO_TYPE); }
int swsys_is_listening(int fd) { return number_option(fd, SO_ACCEPTCONN); }
int swsys_set_reuse_address(int fd) {
  int on = 1;
  return RESULT(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
}
int swsys_set_loss_detection(int fd, int milliseconds) {
  if (!swsys_is_tcp(fd)) return -EOPNOTSUPP;
  int on = milliseconds > 0, idle = milliseconds / 2000, interval = milliseconds / 4000;
  if (idle < 1) idle = 1;
  if (interval < 1) interval = 1;
  /* The kernel's limit for both. */
  if (idle > 32767) idle = 32767;
  int result = RESULT(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds));
  if (result == 0 && on) result = RESULT(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle));
  if (result == 0 && on) result = RESULT(setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval));
  return result < 0 ? result : RESULT(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
}
int swsys_set_v6_only(int fd, bool only) {
  int value = only;
  return RESULT(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof value));
}
int swsys_set_nonblocking(int fd, bool on) {
  int flags = RESULT(fcntl(fd, F_GETFL));
  if (flags < 0) return flags;
  return RESULT(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

int swsys_peer_credentials(int fd, int *pid, unsigned *uid, unsigned *gid) {
  struct ucred found = {0};
  socklen_t size = sizeof found;
  int result = RESULT(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &size));
  *pid = found.pid;
  *uid = found.uid;
  *gid = found.gid;
  return result;
}
int swsys_peer_groups(int fd, unsigned **groups) {
  *groups = NULL;
  /* A process has 65,536 at most (NGROUPS_MAX). */
  for (socklen_t count = 64;; count = 65536) {
    gid_t *found = malloc(count * sizeof *found);
    if (!found) return -ENOMEM;
    socklen_t size = count * sizeof *found;
    int result = RESULT(getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, found, &size));
    if (result == 0) {
      *groups = found;
      return (int)(size / sizeof *found);
    }
    free(found);
    if (result != -ERANGE || count == 65536) return result;
  }
}
void swsys_free_groups(unsigned *groups) { free(groups); }
int swsys_peer_pidfd(int fd) {
  int found = -1;
  socklen_t size = sizeof found;
  int result = RESULT(getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &found, &size));
  if (result < 0) return result;
  return found < 0 ? -ESRCH : swsys_above_standard(found);
}

int swsys_resolve(const char *host, const char *port, bool numeric, struct swsys_resolved **found) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                           .ai_flags = AI_NUMERICSERV | (numeric ? AI_NUMERICHOST : 0)};
  struct addrinfo *list = NULL;
  *found = NULL;
  int result = getaddrinfo(host, port, &hints, &list);
  int error = errno;
  if (result == EAI_SYSTEM) return error > 0 ? -error : -EIO;
  if (result != 0) return result < 0 ? result - SWSYS_RESOLVER : -EIO;
  unsigned count = 0;
  for (struct addrinfo *each = list; each; each = each->ai_next) count++;
  struct swsys_resolved *copies = calloc(count ? count : 1, sizeof *copies);
  if (!copies) {
    freeaddrinfo(list);
    return -ENOMEM;
  }
  count = 0;
  for (struct addrinfo *each = list; each; each = each->ai_next) {
    if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
    if (each->ai_addrlen > sizeof copies->address) continue;
    memcpy(copies[count].address, each->ai_addr, each->ai_addrlen);
    copies[count++].length = each->ai_addrlen;
  }
  freeaddrinfo(list);
  *found = copies;
  return (int)count;
}
void swsys_free_resolved(struct swsys_resolved *found) { free(found); }
const char *swsys_resolver_text(int result) { return gai_strerror(result + SWSYS_RESOLVER); }
int swsys_resolver_errno(int result) {
  switch (result + SWSYS_RESOLVER) {
    case EAI_AGAIN: return EAGAIN;
    case EAI_MEMORY: return ENOMEM;
    case EAI_FAMILY: return EAFNOSUPPORT;
    case EAI_FAIL: return EIO;
    default: return ENXIO;
  }
}
