/* What tests do to descriptors, and look at, that the library never does. Negative results are errnos. */
#ifndef CSYSTESTSUPPORT_H
#define CSYSTESTSUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>

#define SWSYS_NONNULL __attribute__((nonnull))

/* With O_DIRECT: a read takes what one write brought. `declared`: the flag is on the reading end, too. */
int swsys_packet_pipe(int ends[2], bool declared) SWSYS_NONNULL;
/* One byte with MSG_OOB, which Unix streams know since Linux 5.15, and a descriptor. */
ssize_t swsys_send_out_of_band(int fd, char byte, int passed);
/* One byte, said to come from this process and group. Only root may name a group that is not its own. */
ssize_t swsys_send_credentials(int fd, char byte, pid_t process, gid_t group);
/* A Unix pair whose makers had so many further groups: 1,000, 1,001 and on. Only root may have others than its own. */
int swsys_pair_of_groups(int ends[2], int count) SWSYS_NONNULL;
/* A lease for writing, which ends when the kernel asks for it by SIGIO. One at a time. */
int swsys_lease_until_asked(int fd);
int swsys_mark_packets_with_nanoseconds(int fd);
int swsys_time_option(int fd);                   /* 1: the time comes beside packets, 2: in nanoseconds */
int swsys_unmark_packets(int fd);                /* no time comes beside them any more */
size_t swsys_heap_in_use(void);                  /* bytes that malloc has given out, in all threads */
ssize_t swsys_splice(int from, int to, size_t count); /* it marks the pipe it takes from */
int swsys_get_no_delay(int fd);                  /* 0, 1 or a negative errno */
int swsys_set_buffer_sizes(int fd, int send, int receive);
int swsys_force_send_buffer(int fd, int size);   /* beyond the system's limit if this process may: the size that it has then */
int swsys_fork_in_vain(void);                    /* copies this process; the copy ends at once */
int swsys_set_linger_reset(int fd);              /* close sends a reset */
uint64_t swsys_thread_cpu(void);                 /* CLOCK_THREAD_CPUTIME_ID in nanoseconds */
int swsys_thread_count(void);                    /* of this process */
int swsys_pidfd_open(pid_t pid);
int swsys_thread_id(void);                       /* of the calling thread, as the kernel knows it */
bool swsys_thread_sleeps(int id);                /* it waits in the kernel, or has ended */
bool swsys_thread_is_detached(void);             /* the calling one */
long swsys_sleep_count(void);                    /* how often the calling thread has given its processor up to wait */
int swsys_use_one_processor(void);               /* the calling thread, and threads that it starts */
/* Numbers of system calls, some of which are newer than some headers. */
enum {
  SWSYS_CALL_CLONE = SYS_clone, SWSYS_CALL_WAITID = SYS_waitid, SWSYS_CALL_PIDFD_SEND_SIGNAL = 424,
  SWSYS_CALL_PIDFD_OPEN = 434, SWSYS_CALL_CLONE3 = 435, SWSYS_CALL_CLOSE_RANGE = 436, SWSYS_CALL_FCNTL = SYS_fcntl,
  SWSYS_CALL_OPENAT = SYS_openat, SWSYS_CALL_EVENTFD = SYS_eventfd2, SWSYS_CALL_PPOLL = SYS_ppoll,
  SWSYS_CALL_MMAP = SYS_mmap, SWSYS_CALL_READ = SYS_read, SWSYS_CALL_WRITE = SYS_write,
  SWSYS_CALL_PREADV2 = SYS_preadv2, SWSYS_CALL_SPLICE = SYS_splice, SWSYS_CALL_PWRITEV2 = SYS_pwritev2, SWSYS_CALL_SENDTO = SYS_sendto,
  SWSYS_CALL_SENDMSG = SYS_sendmsg, SWSYS_CALL_RECVMSG = SYS_recvmsg, SWSYS_CALL_SOCKETPAIR = SYS_socketpair,
  SWSYS_CALL_SETSOCKOPT = SYS_setsockopt,
#ifdef SYS_poll
  SWSYS_CALL_POLL = SYS_poll,
#else
  SWSYS_CALL_POLL = -1,
#endif
#ifdef SYS_epoll_wait
  SWSYS_CALL_EPOLL_WAIT = SYS_epoll_wait,
#else
  SWSYS_CALL_EPOLL_WAIT = SYS_epoll_pwait,
#endif
};
/* From now on a system call fails with EPERM in all threads of this process (seccomp): always, or (bits not 0) where
 * its first argument has one of these bits. */
int swsys_forbid(int call, unsigned bits);
/* The same for another argument than the first; `bits` is not 0. */
int swsys_forbid_argument(int call, int argument, unsigned bits);
/* From now on a system call fails with EPERM in the calling thread, and in threads that it starts. */
int swsys_forbid_here(int call);
int swsys_forbid_argument_here(int call, int argument, unsigned bits);
/* The same with another error. */
int swsys_fail_here(int call, int error);

/* Runs the body on a new thread, which has a copy of the table of descriptors for itself: no other thread sees what it
 * opens and closes. */
int swsys_with_own_descriptors(void (*body)(void *context), void *context) SWSYS_NONNULL;

/* From now on the kernel refuses epoll_pwait2 to this process, with EPERM. */
int swsys_refuse_timed_epoll(void);

#endif
