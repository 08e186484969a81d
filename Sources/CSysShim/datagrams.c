/* Datagrams, packets, and what comes beside bytes. */
#include "support.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
