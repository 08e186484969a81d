/* Waiting: wake-ups, ppoll, epoll, the clock. */
#include "support.h"

#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int swsys_eventfd(void) { return swsys_above_standard(RESULT(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))); }
int swsys_eventfd_signal(int fd) {
  uint64_t one = 1;
  return (int)RETRIED(write(fd, &one, sizeof one));
}
int swsys_eventfd_drain(int fd) {
  uint64_t value;
  return (int)RETRIED(read(fd, &value, sizeof value));
}

void swsys_word_signal(int32_t *word) {
  __atomic_store_n(word, 1, __ATOMIC_RELEASE);
  (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
void swsys_word_drain(int32_t *word) { __atomic_store_n(word, 0, __ATOMIC_RELEASE); }
void swsys_word_wait(int32_t *word, int64_t nanoseconds) {
  struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, nanoseconds < 0 ? NULL : &limit, NULL, 0);
}

/* If the kernel refuses to wait for descriptors (ENOMEM; EINVAL if RLIMIT_NOFILE is below their count), wait
 * only for the time, at most 10 ms. Then everything may be ready. */
static void wait_slice(int64_t nanoseconds) {
  int64_t slice = nanoseconds < 0 || nanoseconds > 10000000 ? 10000000 : nanoseconds;
  struct timespec limit = {.tv_nsec = slice};
  nanosleep(&limit, NULL);
}

int swsys_look(struct pollfd *polled) {
  struct timespec none = {0};
  return RETRIED(ppoll(polled, 1, &none, NULL));
}

int swsys_wait(int fd, int interest, int wake, int64_t nanoseconds) {
  short events = (interest & SWSYS_READABLE ? POLLIN : 0) | (interest & SWSYS_WRITABLE ? POLLOUT : 0);
  struct pollfd polled[2];
  nfds_t count = 0;
  int at_fd = -1, at_wake = -1;
  if (fd >= 0) { at_fd = (int)count; polled[count++] = (struct pollfd){.fd = fd, .events = events}; }
  if (wake >= 0) { at_wake = (int)count; polled[count++] = (struct pollfd){.fd = wake, .events = POLLIN}; }
  struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  int ready = RESULT(ppoll(polled, count, nanoseconds < 0 ? NULL : &limit, NULL));
  if (ready < 0 && ready != -EINTR) {
    wait_slice(nanoseconds);
    return 7;
  }
  if (ready <= 0) return 0;
  int found = 0;
  if (at_fd >= 0 && polled[at_fd].revents) found |= 1;
  if (at_wake >= 0 && polled[at_wake].revents) found |= 2;
  return found;
}

_Static_assert(
    sizeof(struct swsys_polled) == sizeof(struct pollfd)
        && offsetof(struct swsys_polled, events) == offsetof(struct pollfd, events)
        && offsetof(struct swsys_polled, revents) == offsetof(struct pollfd, revents),
    "swsys_polled is a struct pollfd");

short swsys_poll_mask(int interest) {
  return (interest & SWSYS_READABLE ? POLLIN | POLLRDHUP | POLLPRI : 0)
      | (interest & SWSYS_WRITABLE ? POLLOUT : 0);
}
/* The bits of epoll_wait are those of poll. POLLNVAL: there is no such descriptor. */
int swsys_poll_readiness(int events) {
  uint32_t e = (uint32_t)events;
  if (e & POLLNVAL) return SWSYS_FAILED;
  return (e & (EPOLLIN | EPOLLRDHUP | EPOLLPRI) ? SWSYS_READABLE : 0)
      | (e & EPOLLOUT ? SWSYS_WRITABLE : 0) | (e & (EPOLLHUP | EPOLLRDHUP) ? SWSYS_READ_CLOSED : 0)
      | (e & EPOLLHUP ? SWSYS_WRITE_CLOSED : 0) | (e & EPOLLERR ? SWSYS_FAILED : 0)
      | (e & EPOLLPRI ? SWSYS_URGENT : 0);
}
int swsys_poll(struct swsys_polled *polled, unsigned count, int64_t nanoseconds) {
  struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  int ready = RESULT(ppoll((struct pollfd *)polled, count, nanoseconds < 0 ? NULL : &limit, NULL));
  if (ready >= 0) return ready;
  for (unsigned i = 0; i < count; i++) polled[i].revents = 0;
  if (ready == -EINTR) return 0;
  wait_slice(nanoseconds);
  return ready;
}

uint64_t swsys_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int swsys_epoll_create(void) { return swsys_above_standard(RESULT(epoll_create1(EPOLL_CLOEXEC))); }
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
int swsys_epoll_add_edge(int epoll, int fd, uint64_t key) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = key};
  return RESULT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}
int swsys_timer(void) {
  return swsys_above_standard(RESULT(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)));
}
int swsys_timer_set(int timer, uint64_t nanoseconds) {
  struct itimerspec time = {.it_value = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)}};
  /* A time of zero would turn the timer off. */
  if (nanoseconds == 0) time.it_value.tv_nsec = 1;
  return RESULT(timerfd_settime(timer, TFD_TIMER_ABSTIME, &time, NULL));
}
int swsys_epoll_delete(int epoll, int fd) { return RESULT(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL)); }

int swsys_epoll_wait(int epoll, struct swsys_event *events, int count, int64_t nanoseconds) {
  struct epoll_event found[128];
  if (count > 128) count = 128;
  static _Atomic bool lacks_pwait2;
  bool lacks = lacks_pwait2;
  int n = 0;
  if (nanoseconds > 0 && !lacks) {
    struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    n = RESULT((int)syscall(SYS_epoll_pwait2, epoll, found, count, &limit, NULL, 0));
    /* An older kernel returns ENOSYS. A sandbox that does not know the call may return EPERM or any other
     * error. */
    if (n < 0 && n != -EINTR) lacks_pwait2 = lacks = true;
  }
  if (nanoseconds <= 0 || lacks) {
    int64_t milliseconds = nanoseconds <= 0 ? nanoseconds : (nanoseconds - 1) / 1000000 + 1;
    int limit = nanoseconds < 0 ? -1 : milliseconds > INT_MAX ? INT_MAX : (int)milliseconds;
    n = RESULT(epoll_wait(epoll, found, count, limit));
  }
  if (n == -EINTR) return 0;
  for (int i = 0; i < n; i++) {
    events[i].key = found[i].data.u64;
    events[i].readiness = (uint32_t)swsys_poll_readiness((int)found[i].events);
  }
  return n;
}
