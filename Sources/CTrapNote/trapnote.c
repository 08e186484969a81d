#include "CTrapNote.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const int signals[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT};
enum { signal_count = sizeof signals / sizeof *signals };

static struct sigaction before[signal_count];
static _Thread_local char note[1002];
static _Thread_local size_t note_size;

static void tell(int number) {
  if (note_size > 0 && write(STDERR_FILENO, note, note_size) < 0) {}
  note_size = 0;
  /* The instruction that trapped is run again, and then does what it would have done. */
  for (int index = 0; index < signal_count; index++)
    if (signals[index] == number) sigaction(number, &before[index], NULL);
}

static void install(void) {
  struct sigaction action = {.sa_handler = tell, .sa_flags = SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  for (int index = 0; index < signal_count; index++) sigaction(signals[index], &action, &before[index]);
}

void trapnote_set(const char *text) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
  note_size = 0;
  if (!text) return;
  size_t size = strnlen(text, sizeof note - 2);
  memcpy(note, text, size);
  note[size] = '\n';
  note_size = size + 1;
}
