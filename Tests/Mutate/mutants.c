/* Which mutant is chosen, and which ones are reached. Put beside the copied sources of the C shim by `mutate.py`.
 *
 * SWMUTANT names the chosen mutant. SWMUTANT_REACHED names a file with a byte for each mutant: this process and its
 * children share it, and set the byte of each mutant that they reach. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int chosen = -1;
static volatile unsigned char *reached;
static size_t reached_size;

/* Before anything that is mutated runs. */
__attribute__((constructor(101))) static void choose(void) {
  const char *number = getenv("SWMUTANT");
  if (number) chosen = atoi(number);
  const char *path = getenv("SWMUTANT_REACHED");
  if (!path) return;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  struct stat status;
  if (fstat(fd, &status) == 0 && status.st_size > 0) {
    void *memory = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) {
      reached = memory;
      reached_size = (size_t)status.st_size;
    }
  }
  close(fd);
}

bool swmutant(int number) {
  if (reached && (size_t)number < reached_size) reached[number] = 1;
  return number == chosen;
}
