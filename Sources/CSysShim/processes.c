/* Child processes. */
#include "support.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

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
