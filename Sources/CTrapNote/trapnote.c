#include "CTrapNote.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
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

/* The stack of a thread for its signals. Without one, a thread whose own stack is full cannot run a handler. */
static pthread_key_t stack_key;
enum { stack_size = 128 * 1024 };

static void free_stack(void *memory) {
  stack_t none = {.ss_flags = SS_DISABLE};
  if (sigaltstack(&none, NULL) == 0) munmap(memory, stack_size);
}

static void give_stack(void) {
  stack_t present;
  if (sigaltstack(NULL, &present) < 0 || !(present.ss_flags & SS_DISABLE)) return;
  void *memory = mmap(NULL, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  stack_t own = {.ss_sp = memory, .ss_size = stack_size};
  /* The destructor is called when the thread ends. */
  if (pthread_setspecific(stack_key, memory) != 0 || sigaltstack(&own, NULL) < 0) {
    pthread_setspecific(stack_key, NULL);
    munmap(memory, stack_size);
  }
}

static bool has_key;
static void prepare(void) {
  install();
  has_key = pthread_key_create(&stack_key, free_stack) == 0;
}

void trapnote_set(const char *text) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, prepare);
  note_size = 0;
  if (!text) return;
  if (has_key) give_stack();
  size_t size = strnlen(text, sizeof note - 2);
  memcpy(note, text, size);
  note[size] = '\n';
  note_size = size + 1;
}
