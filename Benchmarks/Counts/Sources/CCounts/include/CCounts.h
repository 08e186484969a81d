/* What counting needs of C: allocations seen from inside, and borders seen from outside. */
#ifndef CCOUNTS_H
#define CCOUNTS_H

#include <stddef.h>
#include <stdint.h>

/* How often memory was asked for, by any thread: malloc, calloc, realloc and the aligned ones. */
uint64_t counts_allocations(void);

/* The border between warming up, what is counted, and the rest. Each call is one system call that nothing
 * else makes, for strace, and a function that callgrind can be told to dump at. */
void counts_border(void);

/* The main thread waits until another one is done. */
void counts_done(void);
void counts_wait(void);

/* One line on standard error. */
void counts_complain(const char *message);

/* Two connected sockets, and a whole write or read of one end: a peer that costs no instructions of ours. */
int counts_pair(int ends[2]);
int counts_write(int descriptor, const uint8_t *bytes, size_t count);
int counts_drain(int descriptor, size_t count);

#endif
