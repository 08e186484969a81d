/* Declarations that every file of this target includes. */
#ifndef CSYSSHIM_SUPPORT_H
#define CSYSSHIM_SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CSysShim.h"

#include <errno.h>

#define RESULT(call) ({ __typeof__(call) result_ = (call); result_ < 0 ? -errno : result_; })
#define RETRIED(call) \
  ({ __typeof__(call) result_; do result_ = (call); while (result_ < 0 && errno == EINTR); \
     result_ < 0 ? -errno : result_; })

/* Looks at a descriptor without waiting: 1 if it is ready, 0 or a negative errno. It calls ppoll, as the waits do, because
 * a filter of system calls may refuse poll. */
struct pollfd;
int swsys_look(struct pollfd *polled);

/* Moves a new descriptor away from the numbers 0 to 2. In a program that was started with a standard stream
 * closed, a print would go into it. A negative errno passes through. The move needs one more descriptor for a
 * moment. */
int swsys_above_standard(int fd);
/* Notes that a socket has been made, and how often this process had been copied before. An error passes through. */
int swsys_note_birth(int fd, int forks);
/* The same for both; if it fails, both are closed. */
int swsys_above_standard_pair(int ends[2]);

#endif
