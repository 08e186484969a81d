/* Threads. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct start { void (*run)(void *); void *context; char name[16]; };
static void *thread_main(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  /* Named from inside: to who started it, a detached thread may be gone already. */
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
  /* What a thread does itself cannot wait: blocked, these signals take their default, and no handler of a crash
   * reporter, a sanitizer or Swift's backtrace is called. */
  const int synchronous[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGSYS};
  for (size_t i = 0; i < sizeof synchronous / sizeof *synchronous; i++) sigdelset(&all, synchronous[i]);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, thread_main, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (error) { free(start); return -error; }
  return 0;
}

static __thread bool is_reactor_thread;
void swsys_mark_reactor_thread(void) { is_reactor_thread = true; }
bool swsys_is_reactor_thread(void) { return is_reactor_thread; }
