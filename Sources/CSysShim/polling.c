/* Waiting: wake-ups, ppoll, epoll, the clock. */
#include "support.h"

#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

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

uint64_t swsys_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

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
        | (e & EPOLLOUT ? SWSYS_WRITABLE : 0) | (e & (EPOLLHUP | EPOLLRDHUP) ? SWSYS_READ_CLOSED : 0)
        | (e & EPOLLHUP ? SWSYS_WRITE_CLOSED : 0) | (e & EPOLLERR ? SWSYS_FAILED : 0)
        | (e & EPOLLPRI ? SWSYS_URGENT : 0);
  }
  return n;
}
