// The floor that everything is measured against: the same transfers as plain blocking C, and what the
// benchmarks need of the system. Results below zero are negated errno values; the stream's end is -EPIPE.
#ifndef CFLOOR_H
#define CFLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// --- system.c

/// Nanoseconds of the monotonic clock.
uint64_t floor_now(void);
/// A pair of connected stream sockets, close-on-exec: Unix domain, or TCP over the loopback with TCP_NODELAY.
int floor_socket_pair(bool tcp, int ends[2]);
/// A pipe, close-on-exec: ends[0] reads, ends[1] writes.
int floor_pipe(int ends[2]);
/// A file in memory, for what a peer writes to its standard error.
int floor_memory_file(void);
int floor_close(int fd);
/// Starts a program: descriptors[i] becomes its number 3 + i, nothing else is inherited but an empty standard
/// input, standard output on ours or nowhere, and `error` as its standard error.
int floor_spawn(const char *path, char *const arguments[], const int *descriptors, int count, int error, pid_t *pid);
/// Waits for a process to end; its status as waitpid gives it.
int floor_wait(pid_t pid);
/// How a process has ended, without waiting and without forgetting it: its exit status, 256 + the signal that
/// ended it, or -EAGAIN while it runs.
int floor_ended(pid_t pid);
int floor_kill(pid_t pid);
/// Raises the limit of open descriptors as far as may be, up to `wanted`; what it is then.
uint64_t floor_raise_descriptor_limit(uint64_t wanted);
/// Keeps all threads of this process, and the processes that it starts, on one processor; on any when negative.
int floor_pin(int processor);
/// Resident set of this process in bytes.
uint64_t floor_resident_bytes(void);
/// Bytes of the heap in use.
uint64_t floor_heap_bytes(void);
/// Processor time that this process has used, user and system, in nanoseconds.
uint64_t floor_processor_time(void);
int floor_read_all(int fd, void *bytes, size_t count);
int floor_write_all(int fd, const void *bytes, size_t count);

// --- frames.c

/// How a length stands before its payload.
enum floor_header { floor_varint = 0, floor_uint32 = 1 };

/// Bytes of a frame with a payload of `size` bytes.
size_t floor_frame_size(enum floor_header header, size_t size);
/// Writes one frame, its payload of zeros already there.
void floor_write_header(enum floor_header header, size_t size, uint8_t *to);

/// One end that speaks frames of one size, with what it needs allocated beforehand.
typedef struct floor_end floor_end;
floor_end *floor_end_make(int reading, int writing, enum floor_header header, size_t size, size_t per_write);
void floor_end_free(floor_end *end);
/// Sends a frame and receives one, `count` times; each one's nanoseconds into `latencies`.
int floor_round_trips(floor_end *end, size_t count, uint64_t *latencies);
/// Receives `count` frames.
int floor_receive(floor_end *end, size_t count);
/// Sends `count` frames, `per_write` at a time.
int floor_send(floor_end *end, size_t count);
/// Sends back each frame until the stream's end.
int floor_echo(floor_end *end);

// --- peers.c: what runs at the other end, in a process of its own

/// For each line "COUNT" on `control`, sends so many frames. Until the end of `control`.
int floor_source(floor_end *end, int control);
/// For each line "COUNT" on `control`, receives so many frames' bytes and answers "ok". Until its end.
int floor_sink(int reading, size_t frame_size, int control);

// --- connections.c: many connections

/// Listens in the abstract Unix namespace, at a name of the kernel's choice that goes to `name` (108 bytes).
int floor_listen(char *name);
int floor_accept(int listener);
int floor_connect(const char *name);
/// Connects `connections` times to `name`; then, for each line "COUNT WINDOW" on `control`, sends so many
/// frames of `size` bytes of payload over all connections in turn, `WINDOW` of them in flight, receives their
/// echoes, and answers "ok". Until the end of `control`.
int floor_load(const char *name, size_t connections, enum floor_header header, size_t size, int control);
/// Echoes what comes on many connections, for ever: one thread, epoll, edge-triggered.
int floor_echo_many(const int *descriptors, size_t count);


/// Accepts connections one after the other, receives 64 bytes of each as a frame, sends them back, and waits for its end.
int floor_answer_each(int listener);
/// Connects so many times; each time sends a frame of 64 bytes, receives it again, and closes.
int floor_ask_anew(const char *name, size_t count);
#endif
