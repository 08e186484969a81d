#include "CFloor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct floor_end {
  int reading, writing;
  enum floor_header header;
  size_t frame_size, per_write;
  uint8_t *outgoing;  // per_write frames
  uint8_t *incoming;
  size_t capacity, start, end;
};

static size_t header_size(enum floor_header header, size_t size) {
  if (header == floor_uint32) return 4;
  if (size <= 240) return 1;
  if (size <= 2287) return 2;
  if (size <= 67823) return 3;
  size_t bytes = 1;
  for (; size != 0; size >>= 8) bytes++;
  return bytes;
}

size_t floor_frame_size(enum floor_header header, size_t size) { return header_size(header, size) + size; }

void floor_write_header(enum floor_header header, size_t size, uint8_t *to) {
  size_t bytes = header_size(header, size), value = size;
  if (header == floor_varint && bytes == 1) {
    to[0] = (uint8_t)size;
    return;
  }
  if (header == floor_varint && bytes == 2) {
    to[0] = (uint8_t)(0xf1 + ((size - 240) >> 8));
    to[1] = (uint8_t)(size - 240);
    return;
  }
  if (header == floor_varint && bytes == 3) value = size - 2288;
  for (size_t i = bytes; i-- > 0; value >>= 8) to[i] = (uint8_t)value;
  if (header == floor_varint) to[0] = (uint8_t)(0xf6 + bytes);
}

// The length of the frame at `from`, 0 while it cannot be told.
static size_t frame_length(enum floor_header header, const uint8_t *from, size_t available) {
  if (header == floor_uint32) {
    if (available < 4) return 0;
    return 4 + ((size_t)from[0] << 24 | (size_t)from[1] << 16 | (size_t)from[2] << 8 | from[3]);
  }
  if (available < 1) return 0;
  if (from[0] <= 0xf0) return 1 + (size_t)from[0];
  size_t bytes = from[0] <= 0xf8 ? 2 : (size_t)from[0] - 0xf6, rest = 0;
  if (available < bytes) return 0;
  for (size_t i = 1; i < bytes; i++) rest = rest << 8 | from[i];
  if (bytes == 2) return 2 + 240 + ((size_t)(from[0] - 0xf1) << 8) + rest;
  return bytes + rest + (bytes == 3 ? 2288 : 0);
}

floor_end *floor_end_make(int reading, int writing, enum floor_header header, size_t size, size_t per_write) {
  floor_end *end = calloc(1, sizeof *end);
  if (end == NULL) return NULL;
  *end = (floor_end){
    .reading = reading, .writing = writing, .header = header,
    .frame_size = floor_frame_size(header, size), .per_write = per_write};
  end->capacity = end->frame_size > 65536 ? end->frame_size : 65536;
  end->incoming = malloc(end->capacity);
  end->outgoing = calloc(per_write, end->frame_size);
  if (end->incoming == NULL || end->outgoing == NULL) {
    floor_end_free(end);
    return NULL;
  }
  memset(end->incoming, 1, end->capacity);  // touched: no page fault is measured
  for (size_t i = 0; i < per_write; i++) {
    uint8_t *frame = end->outgoing + i * end->frame_size;
    memset(frame, 'x', end->frame_size);
    floor_write_header(header, size, frame);
  }
  return end;
}

void floor_end_free(floor_end *end) {
  if (end == NULL) return;
  free(end->incoming);
  free(end->outgoing);
  free(end);
}

// Takes one frame: out of what was read ahead, or after as many reads as it takes.
static ssize_t take_frame(floor_end *end) {
  while (1) {
    size_t available = end->end - end->start;
    size_t length = frame_length(end->header, end->incoming + end->start, available);
    if (length > end->capacity) return -EMSGSIZE;
    if (length != 0 && length <= available) {
      end->start += length;
      return (ssize_t)length;
    }
    if (end->start == end->end) {
      end->start = end->end = 0;
    } else if (end->start != 0) {
      memmove(end->incoming, end->incoming + end->start, available);
      end->start = 0;
      end->end = available;
    }
    ssize_t result = read(end->reading, end->incoming + end->end, end->capacity - end->end);
    if (result > 0) end->end += (size_t)result;
    else if (result == 0) return -EPIPE;
    else if (errno != EINTR) return -errno;
  }
}

int floor_round_trips(floor_end *end, size_t count, uint64_t *latencies) {
  uint64_t before = floor_now();
  for (size_t i = 0; i < count; i++) {
    int result = floor_write_all(end->writing, end->outgoing, end->frame_size);
    if (result < 0) return result;
    ssize_t length = take_frame(end);
    if (length < 0) return (int)length;
    uint64_t now = floor_now();
    latencies[i] = now - before;
    before = now;
  }
  return 0;
}

int floor_receive(floor_end *end, size_t count) {
  for (size_t i = 0; i < count; i++) {
    ssize_t length = take_frame(end);
    if (length < 0) return (int)length;
  }
  return 0;
}

int floor_send(floor_end *end, size_t count) {
  while (count > 0) {
    size_t batch = count < end->per_write ? count : end->per_write;
    int result = floor_write_all(end->writing, end->outgoing, batch * end->frame_size);
    if (result < 0) return result;
    count -= batch;
  }
  return 0;
}

int floor_echo(floor_end *end) {
  while (1) {
    ssize_t length = take_frame(end);
    if (length < 0) return length == -EPIPE ? 0 : (int)length;
    int result = floor_write_all(end->writing, end->outgoing, end->frame_size);
    if (result < 0) return result;
  }
}
