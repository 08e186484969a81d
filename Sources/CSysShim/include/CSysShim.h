/* What Swift cannot import, or cannot call safely: variadic functions, macros, flags newer than the
 * C library's headers, and errno, which lives in the thread and is lost at the next call.
 *
 * Every function that can fail returns a negative errno. EINTR is retried here wherever the call takes
 * no time limit, so nobody above sees it. */
#ifndef CSYSSHIM_H
#define CSYSSHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define SWSYS_NONNULL __attribute__((nonnull))

/* ---- descriptors ---- */
int swsys_close(int fd);
int swsys_duplicate(int fd, int lowest);         /* F_DUPFD_CLOEXEC */
int swsys_get_close_on_exec(int fd);             /* 0, 1 or a negative errno */
int swsys_set_close_on_exec(int fd, bool on);
int swsys_access_mode(int fd);                   /* O_RDONLY, O_WRONLY or O_RDWR */
int swsys_is_nonblocking(int fd);
int swsys_reopen_nonblocking(int fd, int mode);  /* through /proc/self/fd: a description of its own */
int swsys_replace_with_null(int fd);             /* dup2 of /dev/null, so that the number stays taken */
int swsys_pipe(int ends[2]) SWSYS_NONNULL;       /* close-on-exec, blocking */
bool swsys_keeps_packets(int fd);                /* whether an end of a pipe has the flag */

/* What kind of thing a descriptor is. */
enum swsys_kind {
  SWSYS_PIPE,            /* anonymous or named */
  SWSYS_STREAM_SOCKET,
  SWSYS_DATAGRAM_SOCKET, /* a read takes a whole one; there is no end */
  SWSYS_PACKET_SOCKET,   /* seqpacket: likewise, and it ends */
  SWSYS_ALWAYS_READY,    /* regular file, block device */
  SWSYS_OTHER,           /* character devices: tty, /dev/null and the rest */
};
int swsys_kind(int fd);                          /* enum swsys_kind, or a negative errno: -EINVAL for what is no stream */

/* ---- sockets ---- */
int swsys_unix_pair(int ends[2], int type) SWSYS_NONNULL;
int swsys_tcp_pair(int ends[2], bool v6) SWSYS_NONNULL;  /* connected over loopback; each end checked */
int swsys_set_no_delay(int fd, bool on);
int swsys_shutdown_send(int fd);
extern const int swsys_sock_stream, swsys_sock_seqpacket, swsys_sock_dgram;

ssize_t swsys_sendv(int fd, const struct iovec *parts, int count);        /* never waits, no SIGPIPE */

/* How many bytes the next datagram has, which stays. SWSYS_ENDED: there will be none. */
enum { SWSYS_ENDED = -1000000 };
ssize_t swsys_next_datagram_size(int fd, bool is_packet);
/* AF_UNIX, AF_INET and AF_INET6 on Linux. */
enum { SWSYS_UNIX_FAMILY = 1, SWSYS_INET_FAMILY = 2, SWSYS_INET6_FAMILY = 10 };

/* Reads an IP address: how many bytes it has, 4 or 16; 0 if the text is none. */
int swsys_parse_ip(const char *text, uint8_t address[16]) SWSYS_NONNULL;
/* Writes one of 4 or 16 bytes. */
bool swsys_format_ip(const uint8_t *address, int byte_count, char text[64]) SWSYS_NONNULL;
/* 0 if there is no such network interface. */
uint32_t swsys_interface_index(const char *name) SWSYS_NONNULL;

/* The name of an error number, such as "EPIPE"; NULL if it has none. */
const char *swsys_error_name(int error);
/* What a receive brings beside bytes. */
struct swsys_ancillary {
  int descriptors[253];        /* SCM_MAX_FD; close-on-exec, the caller's to close */
  int descriptor_count;
  int pidfd;                   /* of the sender (SO_PASSPIDFD), the caller's to close; negative: none */
  bool has_credentials;        /* SO_PASSCRED */
  pid_t pid;
  uid_t uid;
  gid_t gid;
  unsigned char address[128];  /* the sender's, of a datagram */
  unsigned address_length;
  bool is_cut;                 /* the datagram was longer: the rest is lost */
  bool is_control_cut;         /* control data was cut off: descriptors may be lost */
};
/* recvmsg; never waits. `found` is NULL if nothing came beside the bytes and nothing was cut off; else it is the
 * caller's, to be freed. Without room for control data (`with_control`) only MSG_CTRUNC tells that there was some. */
ssize_t swsys_receive_message(int fd, void *bytes, size_t count, bool with_control, bool with_address,
                              struct swsys_ancillary **found);
void swsys_free_ancillary(struct swsys_ancillary *found);
int swsys_set_receives_credentials(int fd, bool on);  /* SO_PASSCRED */
/* sendmsg; never waits, no SIGPIPE. */
ssize_t swsys_send_accompanied(int fd, const struct iovec *parts, int count, const int *descriptors,
                               int descriptor_count, const void *address, unsigned address_length);
/* sendmmsg: one datagram for each part. Answers how many went out, if it is at least one. */
int swsys_send_datagrams(int fd, const struct iovec *parts, int count);
bool swsys_is_unix(int fd);
bool swsys_is_tcp(int fd);                       /* plain TCP, over IPv4 or IPv6 */
bool swsys_is_udp(int fd);                       /* over IPv4 or IPv6 */
bool swsys_glues_datagrams(int fd);              /* UDP_GRO: a receive brings several in one piece */
/* Of UDP, which brings nothing beside bytes and an address. */
struct swsys_datagram {
  size_t byte_count;
  unsigned address_length;
  unsigned char address[28];  /* struct sockaddr_in6 */
  bool is_cut;                /* it was longer than its slot: the rest is lost */
};
/* recvmmsg: as many datagrams as are there, each into a slot of its own. Answers how many, if it is at least
 * one. Never waits. */
int swsys_receive_datagrams(int fd, void *slots, size_t slot_size, int count, struct swsys_datagram *found);
ssize_t swsys_peek(int fd, void *bytes, size_t count);

/* ---- pipes and the rest ---- */
ssize_t swsys_read(int fd, void *bytes, size_t count);
/* No SIGPIPE: it is blocked in this thread for the call and taken back. */
ssize_t swsys_write_guarded(int fd, const struct iovec *parts, int count, bool nowait);
ssize_t swsys_read_nowait(int fd, void *bytes, size_t count);             /* RWF_NOWAIT */
ssize_t swsys_write_nowait(int fd, const struct iovec *parts, int count, bool no_signal,
                           bool nowait);                                  /* RWF_NOWAIT, RWF_NOSIGNAL */
bool swsys_is_anonymous_pipe(int fd);
bool swsys_is_terminal(int fd);
bool swsys_is_canonical(int fd);                 /* a terminal that hands out lines */
/* The other side is gone, and the descriptor is not ready for `interest`, if that is not 0. */
bool swsys_is_hung_up(int fd, int interest);
int swsys_poll_now(int fd, int interest);        /* 1: ready, 0: not */
bool swsys_probe_nowait(void);                   /* do pipes take RWF_NOWAIT here? */
bool swsys_probe_nosignal(void);                 /* do they take RWF_NOSIGNAL? */

/* ---- waiting ---- */
int swsys_eventfd(void);
int swsys_eventfd_signal(int fd);
int swsys_eventfd_drain(int fd);

enum {
  SWSYS_READABLE = 1, SWSYS_WRITABLE = 2,
  SWSYS_READ_CLOSED = 4,   /* the peer has shut down, or is gone: RDHUP, HUP */
  SWSYS_WRITE_CLOSED = 8,  /* nothing can be sent any more: HUP */
  SWSYS_FAILED = 16,       /* ERR: of a socket an error waits; of a pipe the reader is gone */
  SWSYS_URGENT = 32,       /* PRI */
};

/* Waits for `fd` (when not negative) to get ready for `interest`, or for the wake-up `wake` (likewise),
 * or for `nanoseconds` to pass (negative: without limit). Bit 0 of the answer: fd is ready; bit 1: wake
 * is. 0: the time is up or a signal came. */
int swsys_wait(int fd, int interest, int wake, int64_t nanoseconds);

uint64_t swsys_now(void);                        /* CLOCK_MONOTONIC in nanoseconds */

int swsys_epoll_create(void);
int swsys_epoll_add(int epoll, int fd, uint64_t key, int interest);    /* edge-triggered */
int swsys_epoll_modify(int epoll, int fd, uint64_t key, int interest); /* tells at once if it is ready */
int swsys_epoll_add_level(int epoll, int fd, uint64_t key); /* readable only, level-triggered */
int swsys_epoll_delete(int epoll, int fd);
struct swsys_event { uint64_t key; uint32_t readiness; };   /* SWSYS_READABLE, … */
/* nanoseconds < 0: without limit. */
int swsys_epoll_wait(int epoll, struct swsys_event *events, int count, int64_t nanoseconds) SWSYS_NONNULL;

/* ---- threads and processes ---- */
/* Starts a detached thread that takes no signals. */
int swsys_start_thread(void (*run)(void *), void *context, const char *name);
void swsys_mark_reactor_thread(void);             /* the calling thread is the reactor's */
bool swsys_is_reactor_thread(void);

struct swsys_spawn {
  const char *path;
  char *const *arguments;
  char *const *environment;      /* NULL: this process's */
  const char *working_directory; /* NULL: this process's */
  int search_path;               /* look `path` up in PATH */
  int count;                     /* of the pairs below */
  const int *sources;            /* descriptors of this process … */
  const int *targets;            /* … and their numbers in the child; all others are closed, but 0 to 2 */
};
int swsys_spawn(const struct swsys_spawn *request, pid_t *pid) SWSYS_NONNULL;
void swsys_abandon(pid_t pid);                   /* kills and reaps a child that nobody has seen yet */
char *const *swsys_environment(void);            /* this process's; NULL-terminated, may be NULL */
int swsys_pidfd_open(pid_t pid);
/* 0: still running; 1: exited (code); 2: killed by a signal (code). */
int swsys_pidfd_reap(int pidfd, int *code) SWSYS_NONNULL;
int swsys_pidfd_signal(int pidfd, int signal);

#endif
