/* MessagePack with the templates of msgpack-c: reads bytes to a flat tape of tokens, and writes values to
 * bytes.
 *
 * Nothing of msgpack-c appears here, so Swift can import this without its headers. */
#ifndef CMSGPACK_H
#define CMSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Memory from the C library itself, because Swift's own way to it takes several times as long. If there is no
 * memory, the program ends, as in Swift. */
static inline void *_Nonnull swmp_allocate(size_t size) {
  void *memory = malloc(size);
  if (!memory) abort();
  return memory;
}
static inline void swmp_deallocate(void *_Nonnull memory) { free(memory); }

/* ---- the tape ---- */

enum {
  SWMP_NIL,
  SWMP_FALSE,
  SWMP_TRUE,
  SWMP_INT,
  SWMP_UINT, /* above INT64_MAX only */
  SWMP_FLOAT,
  SWMP_DOUBLE,
  SWMP_STRING,
  SWMP_BINARY,
  SWMP_EXTENSION,
  SWMP_ARRAY,
  SWMP_MAP,
};

/* Tokens are in the order of the stream: a container, then its contents, with keys and values in turn. */
typedef struct {
  /* An integer, or a number's bits; the offset of a string's bytes in the stream; how many elements an
   * array has, how many pairs a map. */
  uint64_t value;
  /* How many bytes a string has; the index of the token behind a container (in one that is still open:
   * how many elements are to come). */
  uint32_t extent;
  uint8_t kind;
  int8_t type; /* an extension's */
} swmp_token;

typedef struct {
  swmp_token *_Nullable tokens;
  uint32_t count;
} swmp_tape;

void swmp_tape_free(swmp_tape tape);

/* The most levels of containers that can be asked for. */
#define SWMP_DEEPEST 1024

/* ---- finding a value's end ---- */

enum {
  SWMP_COMPLETE = 1,
  SWMP_MORE = 0,
  SWMP_NO_VALUE = -1, /* a byte with which no value begins */
  SWMP_TOO_DEEP = -2,
  SWMP_TOO_MANY = -3, /* elements */
  SWMP_TOO_LONG = -4, /* an extension of 2^32 - 1 bytes, which the template cannot count */
  SWMP_NO_MEMORY = -5,
};

typedef struct {
  int status;
  /* COMPLETE: the value's length. MORE: a length that it has at least. Errors: where the bad header is. */
  uint64_t offset;
} swmp_result;

/* A scan that waits for more bytes. */
typedef struct swmp_scan swmp_scan;

/* Continues a scan, or begins one if there is none.
 *
 * If `sparing` is set, only bytes known to belong to the value are examined, so the result does not depend on
 * how the input was chunked. Otherwise the scan goes as far as it can.
 *
 * state: NULL to begin with. It is not NULL after MORE, and NULL after any other result.
 * tape: filled in when COMPLETE; the caller frees it.
 * bytes: from the value's first byte on, including those of the previous call. */
swmp_result swmp_go_on(swmp_scan *_Nullable *_Nonnull state, swmp_tape *_Nonnull tape,
                       const uint8_t *_Nonnull bytes, size_t count, uint32_t deepest, uint32_t most,
                       bool sparing);
swmp_scan *_Nonnull swmp_scan_copy(const swmp_scan *_Nonnull scan);
void swmp_scan_free(swmp_scan *_Nonnull scan);
/* What a waiting scan takes, in bytes. */
size_t swmp_scan_size(const swmp_scan *_Nonnull scan);

/* ---- bulk reading ---- */

enum {
  SWMP_KEYS_PLAIN,
  SWMP_KEYS_REPEATED, /* two keys are the same bytes of a string, or the same integer */
  SWMP_KEYS_LONG,     /* none are, but a key is a string of SWMP_LONG_KEY bytes or more that is not ASCII */
};

/* The length from which a string may have more than thirty combining marks. */
#define SWMP_LONG_KEY 62

/* Looks at the keys of the map at `map`. For small maps only: compares each with each at worst. */
int swmp_check_keys(const swmp_token *_Nonnull tokens, uint32_t map, const uint8_t *_Nonnull bytes);

/* Defined here, so the compiler can inline it: a call would cost more than most texts. */
static inline uint64_t swmp_load(const uint8_t *_Nonnull bytes, size_t size) {
  uint64_t word = 0;
  memcpy(&word, bytes, size);
  return word;
}
__attribute__((always_inline)) static inline bool swmp_is_ascii(const uint8_t *_Nonnull bytes, size_t count) {
  uint64_t all = 0;
  if (count >= 8) {
    for (size_t i = 0; i + 8 <= count; i += 8) all |= swmp_load(bytes + i, 8);
    all |= swmp_load(bytes + count - 8, 8);
  } else if (count >= 4) {
    all = swmp_load(bytes, 4) | swmp_load(bytes + count - 4, 4);
  } else {
    for (size_t i = 0; i < count; i++) all |= bytes[i];
  }
  return (all & 0x8080808080808080) == 0;
}

/* Whether all keys of the map at `map` are strings of ASCII, or all are integers up to INT64_MAX. */
bool swmp_has_plain_keys(const swmp_token *_Nonnull tokens, uint32_t map, const uint8_t *_Nonnull bytes,
                         bool of_integers);

/* The index of the key in the map at `map` that is such a string, or integer; UINT32_MAX if there is
 * none. Looks from `hint` on and around, if it is one of the map's keys: keys mostly come in the order
 * in which they are asked for. */
uint32_t swmp_find_string(const swmp_token *_Nonnull tokens, const uint8_t *_Nonnull bytes, uint32_t map, uint32_t hint,
                          const void *_Nullable key, size_t count);
uint32_t swmp_find_integer(const swmp_token *_Nonnull tokens, uint32_t map, int64_t key);

/* Each fills `into` with as many numbers, if all tokens are numbers that convert (exactly, but for a
 * double that becomes the nearest float), and says whether so. */
bool swmp_read_int64(const swmp_token *_Nonnull tokens, size_t count, int64_t *_Nonnull into);
bool swmp_read_int32(const swmp_token *_Nonnull tokens, size_t count, int32_t *_Nonnull into);
bool swmp_read_double(const swmp_token *_Nonnull tokens, size_t count, double *_Nonnull into);
bool swmp_read_float(const swmp_token *_Nonnull tokens, size_t count, float *_Nonnull into);

/* ---- writing ---- */

typedef struct {
  uint8_t *_Nullable bytes;
  size_t count;
  size_t capacity;
  size_t parts; /* how many lie elsewhere: the caller's affair */
  /* Memory to begin with, which is not the sink's to free; or NULL. */
  uint8_t *_Nullable first;
  /* Whether strings and binary data take the headers of before 2013: of 5, 16 and 32 bits, one kind for both. */
  bool uses_old_raw;
} swmp_sink;

#define SWMP_SINK swmp_sink *_Nonnull sink

void swmp_sink_free(SWMP_SINK);
void swmp_write_nil(SWMP_SINK);
void swmp_write_bool(SWMP_SINK, bool value);
void swmp_write_int(SWMP_SINK, int64_t value);
void swmp_write_uint(SWMP_SINK, uint64_t value);
void swmp_write_float(SWMP_SINK, float value);
void swmp_write_double(SWMP_SINK, double value);
void swmp_write_string(SWMP_SINK, const void *_Nullable bytes, size_t count);
void swmp_write_binary(SWMP_SINK, const void *_Nullable bytes, size_t count);
void swmp_write_extension(SWMP_SINK, int8_t type, const void *_Nullable bytes, size_t count);
void swmp_write_array(SWMP_SINK, size_t count);
void swmp_write_map(SWMP_SINK, size_t count);
/* The extension -1, in its smallest form. */
void swmp_write_timestamp(SWMP_SINK, int64_t seconds, uint32_t nanoseconds);
void swmp_write_int64s(SWMP_SINK, const int64_t *_Nullable values, size_t count);
void swmp_write_int32s(SWMP_SINK, const int32_t *_Nullable values, size_t count);
void swmp_write_doubles(SWMP_SINK, const double *_Nullable values, size_t count);
void swmp_write_floats(SWMP_SINK, const float *_Nullable values, size_t count);

/* Reserves room for a container's header whose count is not known yet. Returns its position. */
size_t swmp_open(SWMP_SINK);
/* Writes that header. Above 15 elements it is longer, and the bytes behind it move. */
void swmp_close(SWMP_SINK, size_t place, size_t count, bool is_map);
/* Inserts bytes. */
void swmp_insert(SWMP_SINK, size_t place, const void *_Nullable bytes, size_t count);

/* ---- kinds of types ---- */

/* A table of how the coders treat a type, by the address of its metadata, which is a multiple of 8; 0 if it is not
 * known. What is in it is true for good, so the order of loads and stores does not matter, and a collision only
 * makes the caller find out again. */
uint8_t swmp_type_kind(uintptr_t address);
void swmp_set_type_kind(uintptr_t address, uint8_t kind);

#endif
