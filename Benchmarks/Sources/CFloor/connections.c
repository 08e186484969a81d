#define _GNU_SOURCE
#include "CFloor.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static socklen_t abstract_address(const char *name, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  size_t length = strlen(name);
  if (length > sizeof address->sun_path - 1) length = sizeof address->sun_path - 1;
  memcpy(address->sun_path + 1, name, length);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

int floor_listen(char *name) {
  static int serial = 0;
  struct sockaddr_un address;
  snprintf(name, 108, "swbench-%d-%d", (int)getpid(), __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED));
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t size = abstract_address(name, &address);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0)
    return -errno;
  return listener;
}

int floor_accept(int listener) {
  while (1) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) return fd;
    if (errno != EINTR) return -errno;
  }
}

int floor_connect(const char *name) {
  struct sockaddr_un address;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  socklen_t size = abstract_address(name, &address);
  return connect(fd, (struct sockaddr *)&address, size) < 0 ? -errno : fd;
}

static int load(
  const int *connections, size_t *received, size_t total, const uint8_t *frame, size_t frame_size, int epoll,
  size_t count, size_t window, size_t *next
) {
  struct epoll_event events[128];
  char bytes[65536];
  size_t sent = 0, done = 0;
  while (done < count) {
    while (sent < count && sent - done < window) {
      int result = floor_write_all(connections[*next], frame, frame_size);
      if (result < 0) return result;
      *next = *next + 1 == total ? 0 : *next + 1;
      sent++;
    }
    int ready = epoll_wait(epoll, events, 128, -1);
    if (ready < 0 && errno != EINTR) return -errno;
    for (int i = 0; i < ready; i++) {
      size_t index = (size_t)events[i].data.u64;
      ssize_t result = read(connections[index], bytes, sizeof bytes);
      if (result <= 0) return result == 0 ? -EPIPE : -errno;
      received[index] += (size_t)result;
      while (received[index] >= frame_size) {
        received[index] -= frame_size;
        done++;
      }
    }
  }
  return 0;
}

int floor_load(const char *name, size_t count, enum floor_header header, size_t size, int control) {
  size_t frame_size = floor_frame_size(header, size), next = 0;
  int *connections = calloc(count, sizeof *connections), epoll = epoll_create1(EPOLL_CLOEXEC);
  size_t *received = calloc(count, sizeof *received);
  uint8_t *frame = malloc(frame_size);
  char line[64];
  FILE *orders = fdopen(control, "r");
  if (connections == NULL || received == NULL || frame == NULL || epoll < 0 || orders == NULL) return -ENOMEM;
  memset(frame, 'x', frame_size);
  floor_write_header(header, size, frame);
  for (size_t i = 0; i < count; i++) {
    connections[i] = floor_connect(name);
    if (connections[i] < 0) return connections[i];
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = i};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i], &event) < 0) return -errno;
  }
  int result = floor_write_all(control, "ok\n", 3);
  while (result == 0 && fgets(line, sizeof line, orders) != NULL) {
    unsigned long long messages = 0, window = 0;
    if (sscanf(line, "%llu %llu", &messages, &window) != 2) return -EINVAL;
    result = load(connections, received, count, frame, frame_size, epoll, messages, window, &next);
    if (result == 0) result = floor_write_all(control, "ok\n", 3);
  }
  return result;
}

int floor_echo_many(const int *descriptors, size_t count) {
  struct epoll_event events[128], event;
  char bytes[65536];
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return -errno;
  for (size_t i = 0; i < count; i++) {
    event = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.fd = descriptors[i]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptors[i], &event) < 0) return -errno;
  }
  while (1) {
    int ready = epoll_wait(epoll, events, 128, -1);
    if (ready < 0 && errno != EINTR) return -errno;
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;
      // A short read says that the socket is empty: what comes later is a new edge.
      ssize_t got;
      do {
        got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got > 0) {
          int result = floor_write_all(fd, bytes, (size_t)got);
          if (result < 0) return result;
        }
      } while (got == (ssize_t)sizeof bytes);
      if (got < 0 && errno != EAGAIN) return -errno;
    }
  }
}

/* One byte of length, which a varint has for these sizes too. */
enum { SMALL_MESSAGE = 64 };

int floor_answer_each(int listener) {
  uint8_t frame[1 + SMALL_MESSAGE];
  while (1) {
    int fd = floor_accept(listener);
    if (fd < 0) return fd;
    int result = floor_read_all(fd, frame, sizeof frame);
    if (result == 0) result = floor_write_all(fd, frame, sizeof frame);
    /* The client's close, which comes before ours. */
    if (result == 0) (void)!read(fd, frame, 1);
    close(fd);
    if (result < 0 && result != -EPIPE && result != -ECONNRESET) return result;
  }
}

int floor_ask_anew(const char *name, size_t count) {
  uint8_t frame[1 + SMALL_MESSAGE] = {SMALL_MESSAGE};
  for (size_t i = 0; i < count; i++) {
    int fd = floor_connect(name);
    if (fd < 0) return fd;
    int result = floor_write_all(fd, frame, sizeof frame);
    if (result == 0) result = floor_read_all(fd, frame, sizeof frame);
    close(fd);
    if (result < 0) return result;
  }
  return 0;
}
