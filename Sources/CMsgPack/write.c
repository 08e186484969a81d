/* The packing template of msgpack-c, over memory that grows. */
#include "library.h"

#if __has_include(<msgpack/pack_define.h>)
#include <msgpack/pack_define.h>
#include <msgpack/timestamp.h>

/* Out of line: it is rare. Memory that cannot be had ends the program, as it does for a Swift array. */
__attribute__((noinline)) static void make_room(swmp_sink *sink, size_t count) {
  size_t needed = sink->count + count;
  size_t capacity = sink->capacity ? sink->capacity : 256;
  while (capacity < needed) capacity *= 2;
  bool is_first = sink->bytes == sink->first;
  uint8_t *larger = realloc(is_first ? NULL : sink->bytes, capacity);
  if (!larger) abort();
  if (is_first && sink->count) memcpy(larger, sink->bytes, sink->count);
  sink->bytes = larger;
  sink->capacity = capacity;
}

static inline int append(swmp_sink *sink, const void *bytes, size_t count) {
  if (sink->capacity - sink->count < count) make_room(sink, count);
  memcpy(sink->bytes + sink->count, bytes, count);
  sink->count += count;
  return 0;
}

#define msgpack_pack_inline_func(name) static inline int msgpack_pack##name
#define msgpack_pack_inline_func_cint(name) static inline int msgpack_pack##name
#define msgpack_pack_user swmp_sink *
#define msgpack_pack_append_buffer(user, buffer, length) return append(user, buffer, length)

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunused-function"
#pragma clang diagnostic ignored "-Wcast-qual"
#include <msgpack/pack_template.h>
#pragma clang diagnostic pop

void swmp_sink_free(swmp_sink *sink) {
  if (sink->bytes != sink->first) free(sink->bytes);
}

void swmp_write_nil(swmp_sink *sink) { msgpack_pack_nil(sink); }
void swmp_write_bool(swmp_sink *sink, bool value) {
  if (value) {
    msgpack_pack_true(sink);
  } else {
    msgpack_pack_false(sink);
  }
}
void swmp_write_int(swmp_sink *sink, int64_t value) { msgpack_pack_int64(sink, value); }
void swmp_write_uint(swmp_sink *sink, uint64_t value) { msgpack_pack_uint64(sink, value); }
void swmp_write_float(swmp_sink *sink, float value) { msgpack_pack_float(sink, value); }
void swmp_write_double(swmp_sink *sink, double value) { msgpack_pack_double(sink, value); }

static inline void append_body(swmp_sink *sink, const void *bytes, size_t count) {
  if (count) append(sink, bytes, count);
}
/* Most are short: two moves that overlap cost less than a call of memcpy. */
static inline void copy_short(uint8_t *to, const uint8_t *from, size_t count) {
  if (count >= 16) {
    memcpy(to, from, 16);
    memcpy(to + count - 16, from + count - 16, 16);
  } else if (count >= 8) {
    memcpy(to, from, 8);
    memcpy(to + count - 8, from + count - 8, 8);
  } else if (count >= 4) {
    memcpy(to, from, 4);
    memcpy(to + count - 4, from + count - 4, 4);
  } else {
    for (size_t i = 0; i < count; i++) to[i] = from[i];
  }
}
void swmp_write_string(swmp_sink *sink, const void *bytes, size_t count) {
  if (count < 32 && sink->capacity - sink->count > count) {
    sink->bytes[sink->count] = (uint8_t)(0xa0 | count);
    if (count) copy_short(sink->bytes + sink->count + 1, bytes, count);
    sink->count += count + 1;
    return;
  }
  if (sink->uses_old_raw) {
    msgpack_pack_v4raw(sink, count);
  } else {
    msgpack_pack_str(sink, count);
  }
  append_body(sink, bytes, count);
}
void swmp_write_binary(swmp_sink *sink, const void *bytes, size_t count) {
  if (sink->uses_old_raw) {
    msgpack_pack_v4raw(sink, count);
  } else {
    msgpack_pack_bin(sink, count);
  }
  append_body(sink, bytes, count);
}
void swmp_write_extension(swmp_sink *sink, int8_t type, const void *bytes, size_t count) {
  msgpack_pack_ext(sink, count, type);
  append_body(sink, bytes, count);
}
void swmp_write_array(swmp_sink *sink, size_t count) { msgpack_pack_array(sink, count); }
void swmp_write_map(swmp_sink *sink, size_t count) { msgpack_pack_map(sink, count); }
void swmp_write_timestamp(swmp_sink *sink, int64_t seconds, uint32_t nanoseconds) {
  msgpack_timestamp timestamp = {.tv_sec = seconds, .tv_nsec = nanoseconds};
  msgpack_pack_timestamp(sink, &timestamp);
}

void swmp_write_int64s(swmp_sink *sink, const int64_t *values, size_t count) {
  msgpack_pack_array(sink, count);
  for (size_t i = 0; i < count; i++) msgpack_pack_int64(sink, values[i]);
}
void swmp_write_int32s(swmp_sink *sink, const int32_t *values, size_t count) {
  msgpack_pack_array(sink, count);
  for (size_t i = 0; i < count; i++) msgpack_pack_int32(sink, values[i]);
}
void swmp_write_doubles(swmp_sink *sink, const double *values, size_t count) {
  msgpack_pack_array(sink, count);
  for (size_t i = 0; i < count; i++) msgpack_pack_double(sink, values[i]);
}
void swmp_write_floats(swmp_sink *sink, const float *values, size_t count) {
  msgpack_pack_array(sink, count);
  for (size_t i = 0; i < count; i++) msgpack_pack_float(sink, values[i]);
}

size_t swmp_open(swmp_sink *sink) {
  uint8_t header = 0;
  append(sink, &header, 1);
  return sink->count - 1;
}

void swmp_close(swmp_sink *sink, size_t place, size_t count, bool is_map) {
  if (count > 15) {
    size_t longer = count > UINT16_MAX ? 4 : 2;
    if (sink->capacity - sink->count < longer) make_room(sink, longer);
    memmove(sink->bytes + place + 1 + longer, sink->bytes + place + 1, sink->count - place - 1);
    sink->count += longer;
  }
  size_t end = sink->count;
  sink->count = place; /* the header goes where there is room for it */
  if (is_map) {
    msgpack_pack_map(sink, count);
  } else {
    msgpack_pack_array(sink, count);
  }
  sink->count = end;
}

void swmp_insert(swmp_sink *sink, size_t place, const void *bytes, size_t count) {
  if (count == 0) return;
  if (sink->capacity - sink->count < count) make_room(sink, count);
  memmove(sink->bytes + place + count, sink->bytes + place, sink->count - place);
  memcpy(sink->bytes + place, bytes, count);
  sink->count += count;
}
#endif
