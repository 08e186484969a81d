#include "CFloor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int floor_source(floor_end *end, int control) {
  char line[64];
  FILE *orders = fdopen(control, "r");
  if (orders == NULL) return -errno;
  while (fgets(line, sizeof line, orders) != NULL) {
    int result = floor_send(end, strtoull(line, NULL, 10));
    if (result < 0) return result;
  }
  return 0;
}

int floor_sink(int reading, size_t frame_size, int control) {
  char line[64];
  size_t capacity = 1 << 18;
  char *bytes = malloc(capacity);
  FILE *orders = fdopen(control, "r");
  if (orders == NULL || bytes == NULL) return -errno;
  while (fgets(line, sizeof line, orders) != NULL) {
    size_t left = strtoull(line, NULL, 10) * frame_size;
    while (left > 0) {
      ssize_t result = read(reading, bytes, left < capacity ? left : capacity);
      if (result > 0) left -= (size_t)result;
      else if (result == 0) return -EPIPE;
      else if (errno != EINTR) return -errno;
    }
    int result = floor_write_all(control, "ok\n", 3);
    if (result < 0) return result;
  }
  free(bytes);
  return 0;
}
