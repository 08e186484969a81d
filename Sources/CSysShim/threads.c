/* Threads. */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct start { void (*run)(void *); void *context; char name[16]; };
static void *thread_main(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  /* The thread names itself, because for its creator a detached thread may have ended already. */
  pthread_setname_np(pthread_self(), start.name);
  start.run(start.context);
  return NULL;
}

int swsys_start_thread(void (*run)(void *), void *context, const char *name) {
  struct start *start = malloc(sizeof *start);
  if (!start) return -ENOMEM;
  *start = (struct start){.run = run, .context = context};
  snprintf(start->name, sizeof start->name, "%s", name);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigset_t all, before;
  sigfillset(&all);
  /* Signals that a thread's own code causes must not be blocked. Otherwise they take their default, and no
   * handler of a crash reporter, a sanitizer or Swift's backtrace is called. */
  const int synchronous[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGSYS};
  for (size_t i = 0; i < sizeof synchronous / sizeof *synchronous; i++) sigdelset(&all, synchronous[i]);
  /* SIGPIPE stays as it is. Blocked here alone, it would pass to threads that this one starts, such as those of
   * Dispatch, and from them to programs, which then outlive their pipes. */
  pthread_sigmask(SIG_BLOCK, NULL, &before);
  if (!sigismember(&before, SIGPIPE)) sigdelset(&all, SIGPIPE);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, thread_main, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (error) { free(start); return -error; }
  return 0;
}

/* The reactor whose worker the calling thread is. */
static __thread const void *reactor_of_thread;
static __thread int worker_of_thread;
void swsys_mark_worker(const void *reactor, int worker) {
  reactor_of_thread = reactor;
  worker_of_thread = worker;
}
bool swsys_is_reactor_thread(void) { return reactor_of_thread != NULL; }
int swsys_worker_of(const void *reactor) { return reactor_of_thread == reactor ? worker_of_thread : -1; }

void swsys_yield(void) { sched_yield(); }

int swsys_processor_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count < 1 ? 1 : (int)count;
}
