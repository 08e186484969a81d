#define _GNU_SOURCE
#include "CFloor.h"

#include <dirent.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

uint64_t floor_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int tcp_pair(int ends[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || ends[0] < 0 || bind(listener, (struct sockaddr *)&address, size) < 0
      || listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0
      || connect(ends[0], (struct sockaddr *)&address, size) < 0)
    return -errno;
  ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (ends[1] < 0) return -errno;
  close(listener);
  for (int i = 0; i < 2; i++)
    if (setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) return -errno;
  return 0;
}

int floor_socket_pair(bool tcp, int ends[2]) {
  if (tcp) return tcp_pair(ends);
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
}

int floor_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0; }

int floor_memory_file(void) {
  int fd = memfd_create("peer-stderr", MFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int floor_close(int fd) { return close(fd) < 0 ? -errno : 0; }

int floor_spawn(
  const char *path, char *const arguments[], const int *descriptors, int count, int error, pid_t *pid
) {
  posix_spawn_file_actions_t actions;
  int high[8], result = posix_spawn_file_actions_init(&actions);
  if (count > 8) return -EINVAL;
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, error, 2);
  // Out of the way first: a source could be another's target.
  for (int i = 0; i < count && result == 0; i++) {
    high[i] = fcntl(descriptors[i], F_DUPFD_CLOEXEC, 64);
    if (high[i] < 0) result = errno;
    else posix_spawn_file_actions_adddup2(&actions, high[i], 3 + i);
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, 3 + count);
  if (result == 0) result = posix_spawn(pid, path, &actions, NULL, arguments, environ);
  for (int i = 0; i < count; i++)
    if (high[i] >= 0) close(high[i]);
  posix_spawn_file_actions_destroy(&actions);
  return -result;
}

int floor_wait(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -errno;
  return status;
}

int floor_ended(pid_t pid) {
  siginfo_t info = {0};
  if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0) return -errno;
  if (info.si_pid == 0) return -EAGAIN;
  return info.si_code == CLD_EXITED ? info.si_status : 256 + info.si_status;
}

int floor_kill(pid_t pid) { return kill(pid, SIGKILL) < 0 ? -errno : 0; }

uint64_t floor_raise_descriptor_limit(uint64_t wanted) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
  if (limit.rlim_cur < wanted) {
    struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) < 0) {
      raised = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
      setrlimit(RLIMIT_NOFILE, &raised);
    }
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

int floor_pin(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int each = 0; each < CPU_SETSIZE; each++)
    if (processor < 0 || each == processor) CPU_SET((size_t)each, &set);
  DIR *threads = opendir("/proc/self/task");
  if (threads == NULL) return -errno;
  int error = 0;
  for (struct dirent *entry; (entry = readdir(threads)) != NULL;) {
    pid_t thread = (pid_t)atoi(entry->d_name);
    // One that has ended meanwhile needs no processor.
    if (thread > 0 && sched_setaffinity(thread, sizeof set, &set) < 0 && errno != ESRCH) error = -errno;
  }
  closedir(threads);
  return error;
}

uint64_t floor_resident_bytes(void) {
  unsigned long all = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL) return 0;
  if (fscanf(file, "%lu %lu", &all, &resident) != 2) resident = 0;
  fclose(file);
  return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t floor_heap_bytes(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

uint64_t floor_processor_time(void) {
  struct timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

int floor_read_all(int fd, void *bytes, size_t count) {
  for (size_t done = 0; done < count;) {
    ssize_t result = read(fd, (char *)bytes + done, count - done);
    if (result > 0) done += (size_t)result;
    else if (result == 0) return -EPIPE;
    else if (errno != EINTR) return -errno;
  }
  return 0;
}

int floor_write_all(int fd, const void *bytes, size_t count) {
  for (size_t done = 0; done < count;) {
    ssize_t result = write(fd, (const char *)bytes + done, count - done);
    if (result >= 0) done += (size_t)result;
    else if (errno != EINTR) return -errno;
  }
  return 0;
}
