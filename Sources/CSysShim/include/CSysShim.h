/* Functions that Swift cannot import or cannot call safely: variadic functions, macros, flags newer than the C
 * library's headers, and errno, which belongs to the thread and is overwritten by the next call.
 *
 * Every function that can fail returns a negative errno. If a call has no time limit, EINTR is retried here, so
 * no caller sees it. */
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
/* How many descriptors this process may have (RLIMIT_NOFILE). */
long swsys_descriptor_limit(void);
bool swsys_kernel_is_at_least(int major, int minor);
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
int swsys_inline_out_of_band(int fd);            /* MSG_OOB bytes stay in their place among the others */
int swsys_shutdown_receive(int fd);              /* a listening Unix socket: it refuses, and keeps its queue */
int swsys_shutdown_send(int fd);
/* Whether the receive queue of a socket of the Unix domain, stream or not, holds something that close would have to
 * release: also if that cannot be found out. */
/* How many bytes are there; negative if this end has been told that no more will come, or cannot say. */
int swsys_unread_before_end(int fd);
bool swsys_queue_holds_something(int fd, bool is_stream);
/* Whether the receive queue of a Unix stream may hold descriptors, which its close would have to close. */
bool swsys_stream_may_hold_descriptors(int fd);
/* Whether the close of a connected Unix socket may take as long as a peer likes, also if that peer passes descriptors at this
 * moment. If the caller alone has the socket (`is_sole`), it receives nothing more from now on; it has to be closed then. */
bool swsys_unix_close_is_up_to_peer(int fd, int type, bool is_sole);
/* The same of a descriptor of any kind, that no transport has. If others may have it, this is a look at the present queue. */
bool swsys_close_is_up_to_peer(int fd, bool is_sole);
/* How often this process has been copied by fork(2) since the first call; negative if that cannot be found out. */
int swsys_fork_count(void);
/* What that was just before the library made the socket with this number; negative if the library has not made it. */
int swsys_birth(int fd);
extern const int swsys_sock_stream, swsys_sock_seqpacket, swsys_sock_dgram;

ssize_t swsys_sendv(int fd, const struct iovec *parts, int count);        /* never waits, no SIGPIPE */

/* How many bytes the next datagram has, which stays. SWSYS_ENDED: there will be none. */
enum { SWSYS_ENDED = -1000000 };
ssize_t swsys_next_datagram_size(int fd, bool is_packet);
/* A look at the bytes of the next packet of a seqpacket socket. SWSYS_ENDED: there will be none. */
ssize_t swsys_peek_packet(int fd, void *bytes, size_t count);
/* Has each packet of a seqpacket socket bring its time (SO_TIMESTAMP), which tells an empty one from the end. The option
 * belongs to the socket, and stays. */
int swsys_mark_packets(int fd);
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
enum swsys_receiving {
  SWSYS_BYTES,                 /* of a stream without room for control data: only MSG_CTRUNC tells that there was some */
  SWSYS_UNIX_BYTES,            /* of a stream, with control data */
  SWSYS_DATAGRAM,              /* with control data and the sender's address */
  SWSYS_PACKET,                /* the same of a seqpacket socket; SWSYS_ENDED: there will be none */
};
/* recvmsg; never waits. `found` is NULL if nothing came beside the bytes and nothing was cut off; else it is the caller's,
 * to be freed. */
ssize_t swsys_receive_message(int fd, void *bytes, size_t count, enum swsys_receiving what,
                              struct swsys_ancillary **found);
void swsys_free_ancillary(struct swsys_ancillary *found);
int swsys_set_receives_credentials(int fd, bool on);  /* SO_PASSCRED */
/* sendmsg; never waits, no SIGPIPE. */
ssize_t swsys_send_accompanied(int fd, const struct iovec *parts, int count, const int *descriptors,
                               int descriptor_count, const void *address, unsigned address_length);
/* Makes a socket whose receive queue holds a reference to each of these descriptors, at most 253. Its close closes those. */
int swsys_park(const int *descriptors, int count);
/* Sends a byte with these descriptors, at most 253. 1, or a negative errno. */
int swsys_pass(int fd, const int *descriptors, int count);
/* sendmmsg: one datagram for each part. Answers how many went out, if it is at least one. */
int swsys_send_datagrams(int fd, const struct iovec *parts, int count);
bool swsys_is_unix(int fd);
bool swsys_is_tcp(int fd);                       /* plain TCP, over IPv4 or IPv6 */
bool swsys_lingers(int fd);                      /* SO_LINGER is on: closing may wait for the peer */
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
/* Memory of which only the pages that are written count. NULL: there are not so many addresses. */
void *swsys_map_room(size_t byte_count);
void swsys_unmap_room(void *room, size_t byte_count);
void swsys_drop_pages(void *first, size_t byte_count);  /* they read as zeros from now on, and cost no memory */
size_t swsys_page_size(void);

/* ---- connections ---- */
int swsys_socket(int family, int type);          /* close-on-exec, above 2; nonblocking, but for datagrams */
int swsys_connect(int fd, const void *address, unsigned length) SWSYS_NONNULL;
void swsys_end_connecting(int fd);
int swsys_socket_error(int fd);                  /* takes SO_ERROR: 0, or a negative errno */
int swsys_bind(int fd, const void *address, unsigned length) SWSYS_NONNULL;
int swsys_listen(int fd, int backlog);
int swsys_accept(int fd);                        /* close-on-exec, above 2 */
/* The length of the address, at most `size`. */
int swsys_socket_address(int fd, bool of_peer, void *address, unsigned size) SWSYS_NONNULL;
bool swsys_has_peer(int fd);
int swsys_socket_family(int fd);                 /* SWSYS_UNIX_FAMILY, … */
int swsys_socket_type(int fd);                   /* swsys_sock_stream, … */
int swsys_is_listening(int fd);                  /* 0, 1 or a negative errno */
int swsys_set_reuse_address(int fd);
/* Of a TCP connection; 0: none any more. */
int swsys_set_loss_detection(int fd, int milliseconds);
int swsys_set_v6_only(int fd, bool only);
int swsys_set_nonblocking(int fd, bool on);
/* Of the process that connected, or listened, when it did. */
int swsys_peer_credentials(int fd, int *pid, unsigned *uid, unsigned *gid) SWSYS_NONNULL;
/* How many supplementary groups; they are the caller's, to be freed. */
int swsys_peer_groups(int fd, unsigned **groups) SWSYS_NONNULL;
void swsys_free_groups(unsigned *groups);
int swsys_peer_pidfd(int fd);                    /* close-on-exec; -ESRCH: the process is gone */

struct swsys_resolved {
  unsigned char address[28];                     /* struct sockaddr_in or sockaddr_in6 */
  unsigned length;
};
/* What an error of the resolver's own, which is no errno, begins with: below any negative errno. */
enum { SWSYS_RESOLVER = 100000 };
/* getaddrinfo, which may block for long unless `numeric` is set. How many addresses; they are the caller's, to be
 * freed. */
int swsys_resolve(const char *host, const char *port, bool numeric, struct swsys_resolved **found) SWSYS_NONNULL;
void swsys_free_resolved(struct swsys_resolved *found);
const char *swsys_resolver_text(int result);     /* of a result below -SWSYS_RESOLVER */
int swsys_resolver_errno(int result);            /* what comes nearest to it */

/* ---- names in a directory ---- */
int swsys_open_place(const char *path, bool is_directory) SWSYS_NONNULL;  /* O_PATH, close-on-exec */
/* A descriptor whose lock is released when it is closed; -EWOULDBLOCK: another process has the lock. */
int swsys_lock_directory(int directory);
struct swsys_identity { uint64_t device, inode; unsigned mode; bool is_socket; };
int swsys_identify(int directory, const char *name, struct swsys_identity *found) SWSYS_NONNULL;
int swsys_set_mode(int fd, unsigned mode);
int swsys_set_mode_of(int directory, const char *name, unsigned mode) SWSYS_NONNULL;
int swsys_link(int directory, const char *from, const char *to) SWSYS_NONNULL;
int swsys_unlink(int directory, const char *name) SWSYS_NONNULL;
int swsys_rename(int directory, const char *from, const char *to) SWSYS_NONNULL;
int swsys_rename_exclusively(int directory, const char *from, const char *to) SWSYS_NONNULL;
int swsys_exchange(int directory, const char *from, const char *to) SWSYS_NONNULL;
int swsys_process_id(void);
int swsys_process_pidfd_id(uint64_t *found) SWSYS_NONNULL;  /* of this process, never used again; since Linux 6.9 */
unsigned swsys_effective_user(void);

/* ---- pipes and the rest ---- */
ssize_t swsys_read(int fd, void *bytes, size_t count);
/* No SIGPIPE: it is blocked in this thread for the call and taken back. */
ssize_t swsys_write_guarded(int fd, const struct iovec *parts, int count, bool nowait);
ssize_t swsys_read_nowait(int fd, void *bytes, size_t count);             /* RWF_NOWAIT */
ssize_t swsys_write_nowait(int fd, const struct iovec *parts, int count, bool no_signal,
                           bool nowait);                                  /* RWF_NOWAIT, RWF_NOSIGNAL */
/* From and to a pipe of any kind, without waiting, whatever its flags. The caller gives at most PIPE_BUF bytes to send; a page
 * at most comes in; no SIGPIPE comes. -EOPNOTSUPP: not possible now, and nothing was done. */
ssize_t swsys_splice_in(int fd, void *bytes, size_t count);
ssize_t swsys_splice_out(int fd, const struct iovec *parts, int count);
bool swsys_is_anonymous_pipe(int fd);
bool swsys_is_terminal(int fd);
bool swsys_is_canonical(int fd);                 /* a terminal that hands out lines */
bool swsys_may_return_nothing(int fd);           /* a terminal whose read returns 0 while nothing is typed */
/* This process is in the background of the terminal, and its shell may bring it to the front again. A read fails with EIO
 * meanwhile if the thread blocks SIGTTIN; otherwise the signal stops the process. */
bool swsys_is_in_background(int fd);
/* The other side is gone, and the descriptor is not ready for `interest`, if that is not 0. */
bool swsys_is_hung_up(int fd, int interest);
int swsys_poll_now(int fd, int interest);        /* 1: ready, 0: not */
/* Whether pipes take RWF_NOWAIT or RWF_NOSIGNAL here: 1, 0, or a negative errno if no pipe could be made to try. */
int swsys_probe_nowait(void);
int swsys_probe_nosignal(void);

/* ---- waiting ---- */
int swsys_eventfd(void);
int swsys_eventfd_signal(int fd);
int swsys_eventfd_drain(int fd);

/* A wake-up of one thread that needs no descriptor: a word, zero at first. Once signalled it ends every wait until it is
 * drained. `nanoseconds` is relative, and negative without limit; the wait may end early. */
void swsys_word_signal(int32_t *word);
void swsys_word_drain(int32_t *word);
void swsys_word_wait(int32_t *word, int64_t nanoseconds);

enum {
  SWSYS_READABLE = 1, SWSYS_WRITABLE = 2,
  SWSYS_READ_CLOSED = 4,   /* the peer has shut down, or is gone: RDHUP, HUP */
  SWSYS_WRITE_CLOSED = 8,  /* nothing can be sent any more: HUP */
  SWSYS_FAILED = 16,       /* ERR: of a socket an error waits; of a pipe the reader is gone */
  SWSYS_URGENT = 32,       /* PRI */
};

/* Waits for `fd` (when not negative) to get ready for `interest`, or for the wake-up `wake` (likewise),
 * or for `nanoseconds` to pass (negative: without limit). Bit 0 of the answer: fd is ready; bit 1: wake
 * is. 0: the time is up or a signal came. 7, after 10 ms at most: the kernel cannot tell. */
int swsys_wait(int fd, int interest, int wake, int64_t nanoseconds);

/* poll(2): a struct pollfd. */
struct swsys_polled { int fd; short events; short revents; };
short swsys_poll_mask(int interest);             /* the `events` of an interest */
int swsys_poll_readiness(int events);            /* the readiness of `revents` */
/* How many are ready. nanoseconds < 0: without limit. 0: the time is up or a signal came. A negative errno, after 10 ms
 * at most: the kernel cannot tell. */
int swsys_poll(struct swsys_polled *polled, unsigned count, int64_t nanoseconds);

uint64_t swsys_now(void);                        /* CLOCK_MONOTONIC in nanoseconds */

int swsys_epoll_create(void);
int swsys_epoll_add(int epoll, int fd, uint64_t key, int interest);    /* edge-triggered */
int swsys_epoll_modify(int epoll, int fd, uint64_t key, int interest); /* tells at once if it is ready */
int swsys_epoll_add_edge(int epoll, int fd, uint64_t key); /* readable; told each time anew, and never read */
int swsys_timer(void);                           /* a timerfd of the monotonic clock, which is off */
int swsys_timer_set(int timer, uint64_t nanoseconds); /* when it rings; in the past: at once */
int swsys_epoll_delete(int epoll, int fd);
struct swsys_event { uint64_t key; uint32_t readiness; };   /* SWSYS_READABLE, … */
/* nanoseconds < 0: without limit. */
int swsys_epoll_wait(int epoll, struct swsys_event *events, int count, int64_t nanoseconds) SWSYS_NONNULL;

/* ---- threads and processes ---- */
/* Starts a detached thread that takes no signals. */
int swsys_start_thread(void (*run)(void *), void *context, const char *name);
void swsys_mark_worker(const void *reactor, int worker); /* the calling thread is a worker of a reactor */
bool swsys_is_reactor_thread(void);              /* … of any reactor */
int swsys_worker_of(const void *reactor);        /* which worker; negative: it is none of this reactor */
int swsys_processor_count(void);                 /* that this process may run on; at least 1 */
void swsys_yield(void);                          /* lets other threads run */

/* What stands in for a source. */
enum { SWSYS_NULL = -1, SWSYS_INHERIT = -2 };
/* Beside a group's number; 0: a group of the child's own. */
enum { SWSYS_GROUP_INHERITED = -1, SWSYS_GROUP_SESSION = -2 };
enum { SWSYS_MOST_DESCRIPTORS = 256 };
struct swsys_spawn {
  const char *const *candidates; /* paths, of which the first that can be executed is; NULL-terminated */
  char *const *arguments;
  char *const *environment;
  const char *working_directory; /* NULL: this process's */
  int group;                     /* SWSYS_GROUP_INHERITED, … */
  bool keeps_ignored_signals;    /* all others get their default */
  int count;                     /* of the pairs below */
  const int *sources;            /* descriptors of this process, or SWSYS_NULL, SWSYS_INHERIT … */
  const int *targets;            /* … and their numbers in the child, each once; all others but 0 to 2 are closed */
};
/* The step of a spawn that failed. */
enum swsys_spawn_step {
  SWSYS_STEP_CLONE, SWSYS_STEP_GROUP, SWSYS_STEP_DESCRIPTOR, SWSYS_STEP_DIRECTORY, SWSYS_STEP_PROGRAM
};
struct swsys_spawned {
  pid_t pid;
  int pidfd;                     /* close-on-exec */
  int step;                      /* enum swsys_spawn_step, when it failed */
  int index;                     /* of the descriptor, when that was it */
};
/* Blocks until the child has executed its program. Where it fails nothing has run, and no child is left. */
int swsys_spawn(const struct swsys_spawn *request, struct swsys_spawned *spawned) SWSYS_NONNULL;
/* Close-on-exec, blocking, above 2; without waiting for a named pipe's other end: ENXIO without one. */
int swsys_open_for_child(const char *path, int options) SWSYS_NONNULL;
char *const *swsys_environment(void);            /* this process's; NULL-terminated, may be NULL */
/* 0 where the kernel has what children need, and lets us; else a negative errno. */
int swsys_pidfd_missing(void);
/* 0: still running; 1: exited (code); 2: killed by a signal (code). keeps: it can be asked again. */
int swsys_pidfd_reap(int pidfd, bool keeps, int *code) SWSYS_NONNULL;
int swsys_pidfd_signal(int pidfd, int signal, bool group); /* group: see swsys_pidfd_signals_groups */
bool swsys_pidfd_signals_groups(void);           /* since Linux 6.9 */
int swsys_kill_group(pid_t group, int signal);   /* only while a member of the group is known to be there */

#endif
