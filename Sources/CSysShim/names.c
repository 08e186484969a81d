/* Names in a directory: the operations for publishing a socket. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int swsys_open_place(const char *path, bool is_directory) {
  return swsys_above_standard(RETRIED(open(path, O_PATH | O_CLOEXEC | (is_directory ? O_DIRECTORY : 0))));
}
int swsys_lock_directory(int directory) {
  int fd = swsys_above_standard(RETRIED(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (fd < 0) return fd;
  int result = RETRIED(flock(fd, LOCK_EX | LOCK_NB));
  if (result == 0) return fd;
  close(fd);
  return result;
}
int swsys_identify(int directory, const char *name, struct swsys_identity *found) {
  struct stat status;
  int result = RETRIED(fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW));
  if (result < 0) return result;
  found->device = status.st_dev;
  found->inode = status.st_ino;
  found->mode = status.st_mode & 07777;
  found->is_socket = S_ISSOCK(status.st_mode);
  return 0;
}
int swsys_set_mode(int fd, unsigned mode) { return RETRIED(fchmod(fd, mode)); }
int swsys_set_mode_of(int directory, const char *name, unsigned mode) {
  return RETRIED(fchmodat(directory, name, mode, 0));
}
int swsys_link(int directory, const char *from, const char *to) {
  return RETRIED(linkat(directory, from, directory, to, 0));
}
int swsys_unlink(int directory, const char *name) { return RETRIED(unlinkat(directory, name, 0)); }
int swsys_rename(int directory, const char *from, const char *to) {
  return RETRIED(renameat(directory, from, directory, to));
}
int swsys_rename_exclusively(int directory, const char *from, const char *to) {
  return RETRIED(renameat2(directory, from, directory, to, RENAME_NOREPLACE));
}
int swsys_exchange(int directory, const char *from, const char *to) {
  return RETRIED(renameat2(directory, from, directory, to, RENAME_EXCHANGE));
}
int swsys_process_id(void) { return getpid(); }
unsigned swsys_effective_user(void) { return geteuid(); }
int swsys_process_pidfd_id(uint64_t *found) {
  int pidfd = RESULT((int)syscall(SYS_pidfd_open, getpid(), 0));
  if (pidfd < 0) return pidfd;
  struct statfs system;
  struct stat status;
  int result = RETRIED(fstatfs(pidfd, &system));
  /* PIDFS_MAGIC: before Linux 6.9 all pidfds have one inode. */
  if (result == 0 && system.f_type != 0x50494446) result = -EOPNOTSUPP;
  if (result == 0) result = RETRIED(fstat(pidfd, &status));
  close(pidfd);
  if (result == 0) *found = status.st_ino;
  return result;
}
