/* Datagrams, packets, and what comes beside bytes. */
#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int option(int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, level, name, &value, &length) < 0 ? -1 : value;
}

int swsys_mark_packets(int fd) {
  /* Another user of the socket may have asked for the time in nanoseconds, which is a mark, too. */
  if (option(fd, SOL_SOCKET, SO_TIMESTAMPNS) > 0) return 0;
  int on = 1;
  return RESULT(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on));
}

/* Receives, or looks, on a seqpacket socket. The call returns 0 for an empty packet and for the end, but only a packet
 * brings control data: its time, at least (swsys_mark_packets). So each call tells what it has met, whatever other
 * threads and processes do with the socket meanwhile. */
static ssize_t receive_packet(int fd, struct msghdr *message, int flags) {
  const struct msghdr asked = *message;
  bool is_shut_down = false;
  for (;;) {
    ssize_t result = RETRIED(recvmsg(fd, message, flags));
    if (result != 0 || message->msg_controllen != 0 || (message->msg_flags & MSG_CTRUNC)) return result;
    if (is_shut_down) return SWSYS_ENDED;
    /* A filter of system calls may have refused the mark, and another process may have switched it off. Before the peer
     * has shut down, this was a packet nevertheless. */
    struct pollfd polled = {.fd = fd, .events = POLLRDHUP};
    int ready = swsys_look(&polled);
    if (ready < 0) return ready;
    if (!(polled.revents & (POLLRDHUP | POLLHUP))) return 0;
    /* The kernel looks for a packet first and at the shutdown afterwards. A packet that came in between is still there,
     * and none comes after it, so one more attempt is certain. If the mark had been switched off, it is on again. */
    is_shut_down = true;
    swsys_mark_packets(fd);
    *message = asked;
  }
}

static ssize_t look(int fd, void *bytes, size_t count, int flags, bool is_packet) {
  flags |= MSG_PEEK | MSG_DONTWAIT;
  if (!is_packet) return RETRIED(recv(fd, bytes, count, flags));
  struct iovec part = {.iov_base = bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  return receive_packet(fd, &message, flags);
}
ssize_t swsys_next_datagram_size(int fd, bool is_packet) { return look(fd, NULL, 0, MSG_TRUNC, is_packet); }
ssize_t swsys_peek_packet(int fd, void *bytes, size_t count) { return look(fd, bytes, count, 0, true); }

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* Returns the same descriptor under a number above 2. If none is free, the number stays, so the descriptor is
 * not lost. */
static int above_standard(int fd) {
  if (fd < 0 || fd > 2) return fd;
  int copy = RETRIED(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (copy < 0) return fd;
  close(fd);
  return copy;
}

static struct swsys_ancillary *parse(struct msghdr *message, const void *address) {
  struct swsys_ancillary *found = malloc(sizeof *found);
  /* Without memory the descriptors cannot be returned, so they are closed. */
  struct swsys_ancillary lost;
  struct swsys_ancillary *target = found ? found : &lost;
  target->descriptor_count = 0;
  target->pidfd = -1;
  target->has_credentials = false;
  target->is_cut = (message->msg_flags & MSG_TRUNC) != 0;
  target->is_control_cut = (message->msg_flags & MSG_CTRUNC) != 0;
  target->address_length = address && message->msg_namelen <= sizeof target->address ? message->msg_namelen : 0;
  if (target->address_length) memcpy(target->address, address, target->address_length);
  for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item; item = CMSG_NXTHDR(message, item)) {
    if (item->cmsg_level != SOL_SOCKET) continue;
    size_t length = item->cmsg_len - CMSG_LEN(0);
    if (item->cmsg_type == SCM_RIGHTS) {
      size_t number = length / sizeof(int);
      size_t room = sizeof target->descriptors / sizeof(int) - (size_t)target->descriptor_count;
      /* The kernel brings one such item, of at most as many as there is room for. */
      if (number > room) number = room;
      memcpy(target->descriptors + target->descriptor_count, CMSG_DATA(item), number * sizeof(int));
      target->descriptor_count += (int)number;
    } else if (item->cmsg_type == SCM_CREDENTIALS && length >= sizeof(struct ucred)) {
      struct ucred sender;
      memcpy(&sender, CMSG_DATA(item), sizeof sender);
      target->has_credentials = true;
      target->pid = sender.pid;
      target->uid = sender.uid;
      target->gid = sender.gid;
    } else if (item->cmsg_type == SCM_PIDFD && length >= sizeof(int)) {
      memcpy(&target->pidfd, CMSG_DATA(item), sizeof(int));
    }
  }
  /* Numbers 0 to 2 are free only in a program that has closed them, and what it prints must not go to a peer. */
  for (int i = 0; i < target->descriptor_count; i++) target->descriptors[i] = above_standard(target->descriptors[i]);
  target->pidfd = above_standard(target->pidfd);
  if (!found) {
    for (int i = 0; i < lost.descriptor_count; i++) close(lost.descriptors[i]);
    if (lost.pidfd >= 0) close(lost.pidfd);
  }
  return found;
}

/* Whether the only control data is the mark of a packet. */
static bool brings_only_mark(struct msghdr *message) {
  struct cmsghdr *item = CMSG_FIRSTHDR(message);
  return item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMP && !CMSG_NXTHDR(message, item);
}

ssize_t swsys_receive_message(int fd, void *bytes, size_t count, enum swsys_receiving what,
                              struct swsys_ancillary **found) {
  union {
    char bytes[CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof (*found)->descriptors)
               + CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(1024)];  /* a security label */
    struct cmsghdr header;
  } control;
  unsigned char address[sizeof (*found)->address];
  bool is_datagram = what == SWSYS_DATAGRAM || what == SWSYS_PACKET;
  struct iovec part = {.iov_base = bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (what != SWSYS_BYTES) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
  }
  if (is_datagram) {
    message.msg_name = address;
    message.msg_namelen = sizeof address;
  }
  int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
  ssize_t result = what == SWSYS_PACKET ? receive_packet(fd, &message, flags) : RETRIED(recvmsg(fd, &message, flags));
  bool has_more = result >= 0
      && ((message.msg_controllen > 0 && !brings_only_mark(&message)) || message.msg_namelen > 0
          || (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)));
  *found = has_more ? parse(&message, is_datagram ? address : NULL) : NULL;
  return result;
}
void swsys_free_ancillary(struct swsys_ancillary *found) { free(found); }

int swsys_set_receives_credentials(int fd, bool on) {
  int value = on;
  return RESULT(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &value, sizeof value));
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
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(size);
    struct cmsghdr *item = CMSG_FIRSTHDR(&message);
    *item = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)};
    memcpy(CMSG_DATA(item), descriptors, size);
  }
  return RETRIED(sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

int swsys_pass(int fd, const int *descriptors, int count) {
  struct iovec part = {.iov_base = "", .iov_len = 1};
  return (int)swsys_send_accompanied(fd, &part, 1, descriptors, count, NULL, 0);
}

int swsys_park(const int *descriptors, int count) {
  int ends[2];
  int result = swsys_unix_pair(ends, SOCK_STREAM);
  if (result < 0) return result;
  int sent = swsys_pass(ends[1], descriptors, count);
  close(ends[1]);
  if (sent == 1) return ends[0];
  close(ends[0]);
  return sent;
}

enum { MOST_AT_ONCE = 64 };

int swsys_send_datagrams(int fd, const struct iovec *parts, int count) {
  struct mmsghdr messages[MOST_AT_ONCE] = {0};
  if (count > MOST_AT_ONCE) count = MOST_AT_ONCE;
  for (int i = 0; i < count; i++)
    messages[i].msg_hdr = (struct msghdr){.msg_iov = (struct iovec *)&parts[i], .msg_iovlen = 1};
  return RETRIED(sendmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT | MSG_NOSIGNAL));
}

bool swsys_is_unix(int fd) { return option(fd, SOL_SOCKET, SO_DOMAIN) == AF_UNIX; }
bool swsys_is_tcp(int fd) {
  int family = option(fd, SOL_SOCKET, SO_DOMAIN);
  return (family == AF_INET || family == AF_INET6) && option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP;
}
bool swsys_lingers(int fd) {
  struct linger linger = {0};
  socklen_t length = sizeof linger;
  /* With a time of 0 the close resets the connection at once. */
  return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_onoff && linger.l_linger != 0;
}
bool swsys_is_udp(int fd) {
  int family = option(fd, SOL_SOCKET, SO_DOMAIN);
  return (family == AF_INET || family == AF_INET6) && option(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_UDP;
}
bool swsys_glues_datagrams(int fd) { return option(fd, IPPROTO_UDP, 104 /* UDP_GRO */) > 0; }

void *swsys_map_room(size_t byte_count) {
  void *room = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return NULL;
  /* A small datagram is not to cost a huge page. */
  madvise(room, byte_count, MADV_NOHUGEPAGE);
  return room;
}
void swsys_unmap_room(void *room, size_t byte_count) { munmap(room, byte_count); }
void swsys_drop_pages(void *first, size_t byte_count) { madvise(first, byte_count, MADV_DONTNEED); }
size_t swsys_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

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
