#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CSysTestSupport.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RESULT(call) ({ __typeof__(call) result_ = (call); result_ < 0 ? -errno : result_; })

int swsys_packet_pipe(int ends[2], bool declared) {
  int result = RESULT(pipe2(ends, O_CLOEXEC | O_DIRECT));
  return result < 0 || !declared ? result : RESULT(fcntl(ends[0], F_SETFL, O_DIRECT));
}
/* Sends one byte with one item of control data. */
static ssize_t send_with(int fd, char byte, int type, const void *data, size_t size, int flags) {
  union {
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr header;
  } control;
  struct iovec part = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(size)};
  struct cmsghdr *item = CMSG_FIRSTHDR(&message);
  *item = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = type, .cmsg_len = CMSG_LEN(size)};
  memcpy(CMSG_DATA(item), data, size);
  return RESULT(sendmsg(fd, &message, flags | MSG_NOSIGNAL));
}
ssize_t swsys_send_out_of_band(int fd, char byte, int passed) {
  return send_with(fd, byte, SCM_RIGHTS, &passed, sizeof passed, MSG_OOB);
}
ssize_t swsys_send_credentials(int fd, char byte, pid_t process, gid_t group) {
  struct ucred sender = {.pid = process, .uid = getuid(), .gid = group};
  return send_with(fd, byte, SCM_CREDENTIALS, &sender, sizeof sender, 0);
}

struct grouped {
  int *ends;
  int count;
  int error;
};
static void *make_grouped(void *argument) {
  struct grouped *made = argument;
  gid_t groups[1000];
  if (made->count > 1000) made->count = 1000;
  for (int i = 0; i < made->count; i++) groups[i] = 1000 + (gid_t)i;
  /* The C library's setgroups would change every thread. */
  made->error = RESULT((int)syscall(SYS_setgroups, made->count, groups));
  if (made->error == 0) made->error = RESULT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made->ends));
  return NULL;
}
int swsys_pair_of_groups(int ends[2], int count) {
  struct grouped made = {.ends = ends, .count = count};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, make_grouped, &made);
  if (error) return -error;
  pthread_join(thread, NULL);
  return made.error;
}

static volatile int leased = -1;
static void give_up_lease(int number) { fcntl(leased, F_SETLEASE, F_UNLCK); }
int swsys_lease_until_asked(int fd) {
  leased = fd;
  signal(SIGIO, give_up_lease);
  return RESULT(fcntl(fd, F_SETLEASE, F_WRLCK));
}
int swsys_mark_packets_with_nanoseconds(int fd) {
  int on = 1;
  return RESULT(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on));
}
static int socket_option(int fd, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &length) < 0 ? -1 : value;
}
int swsys_time_option(int fd) {
  return socket_option(fd, SO_TIMESTAMPNS) > 0 ? 2 : socket_option(fd, SO_TIMESTAMP) > 0 ? 1 : 0;
}
int swsys_unmark_packets(int fd) {
  int off = 0;
  return RESULT(setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &off, sizeof off));
}

size_t swsys_heap_in_use(void) { return mallinfo2().uordblks; }

ssize_t swsys_splice(int from, int to, size_t count) {
  return RESULT(splice(from, NULL, to, NULL, count, 0));
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
int swsys_force_send_buffer(int fd, int size) {
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0) swsys_set_buffer_sizes(fd, size, 0);
  socklen_t length = sizeof size;
  return RESULT(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &length)) < 0 ? -errno : size;
}
int swsys_fork_in_vain(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  if (child < 0) return -errno;
  int result;
  do result = waitpid(child, NULL, 0); while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : 0;
}
int swsys_set_linger_reset(int fd) {
  struct linger value = {.l_onoff = 1, .l_linger = 0};
  return RESULT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value));
}

int swsys_thread_count(void) {
  DIR *tasks = opendir("/proc/self/task");
  if (!tasks) return -errno;
  int count = 0;
  for (struct dirent *entry; (entry = readdir(tasks));) count += entry->d_name[0] != '.';
  closedir(tasks);
  return count;
}

uint64_t swsys_thread_cpu(void) {
  struct timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

int swsys_thread_id(void) { return (int)syscall(SYS_gettid); }
bool swsys_thread_is_detached(void) {
  pthread_attr_t attributes;
  int state = PTHREAD_CREATE_JOINABLE;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return false;
  pthread_attr_getdetachstate(&attributes, &state);
  pthread_attr_destroy(&attributes);
  return state == PTHREAD_CREATE_DETACHED;
}
bool swsys_thread_sleeps(int id) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return true;
  ssize_t count = read(fd, text, sizeof text - 1);
  close(fd);
  if (count <= 0) return true;
  text[count] = 0;
  const char *state = strrchr(text, ')');
  return state && state[1] == ' ' && state[2] == 'S';
}

long swsys_sleep_count(void) {
  struct rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) < 0 ? -1 : usage.ru_nvcsw;
}
int swsys_use_one_processor(void) {
  cpu_set_t all, one;
  if (sched_getaffinity(0, sizeof all, &all) < 0) return -errno;
  int first = 0;
  while (!CPU_ISSET(first, &all)) first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  return RESULT(sched_setaffinity(0, sizeof one, &one));
}

int swsys_pidfd_open(pid_t pid) { return RESULT((int)syscall(SWSYS_CALL_PIDFD_OPEN, pid, 0)); }

static int forbid(int call, int argument, unsigned bits, unsigned flags, int error) {
  struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 3),
    /* The lower half of the argument, on a little-endian machine. */
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)(offsetof(struct seccomp_data, args) + 8 * (size_t)argument)),
    BPF_JUMP(BPF_JMP | (bits ? BPF_JSET : BPF_JGE) | BPF_K, bits, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
  return RESULT((int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}
int swsys_forbid(int call, unsigned bits) { return swsys_forbid_argument(call, 0, bits); }
int swsys_forbid_argument(int call, int argument, unsigned bits) {
  /* Every thread of the process: the runtime may have some already. */
  return forbid(call, argument, bits, SECCOMP_FILTER_FLAG_TSYNC, EPERM);
}
int swsys_forbid_here(int call) { return swsys_fail_here(call, EPERM); }
int swsys_forbid_argument_here(int call, int argument, unsigned bits) {
  return forbid(call, argument, bits, 0, EPERM);
}
int swsys_fail_here(int call, int error) { return forbid(call, 0, 0, 0, error); }

struct owner {
  void (*body)(void *context);
  void *context;
  int error;
};
static void *own_descriptors(void *argument) {
  struct owner *owner = argument;
  owner->error = RESULT(unshare(CLONE_FILES));
  if (owner->error == 0) owner->body(owner->context);
  return NULL;
}
int swsys_with_own_descriptors(void (*body)(void *context), void *context) {
  struct owner owner = {.body = body, .context = context};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, own_descriptors, &owner);
  if (error) return -error;
  pthread_join(thread, NULL);
  return owner.error;
}

/* epoll_pwait2 has this number everywhere. */
int swsys_refuse_timed_epoll(void) { return swsys_forbid(441, 0); }
