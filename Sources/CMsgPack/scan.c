/* The header template of msgpack-c, with callbacks that write a tape.
 *
 * * The template is a state machine that stops and resumes at any byte. Of the library's own unpackers,
 * which are made of it too, nothing is used: they reserve an object for each element that a header
 * declares.
 *
 * * Where the whole value is there, it is read in one go without the template.
 *
 * * A value's length is at least: the bytes that have been read, the rest of the token that is being
 * read, and a byte for each element that is still to come. `pending` counts these: 1 for the value
 * itself, the elements of each container when its header is read, and each token takes its own away. */
#include "library.h"

#include <endian.h>

#if __has_include(<msgpack/unpack_define.h>)
#define MSGPACK_EMBED_STACK_SIZE (SWMP_DEEPEST + 1)
#include <msgpack/unpack_define.h>

typedef struct {
  swmp_token *tokens;
  uint32_t count;
  uint32_t capacity;
  uint32_t depth;
  uint32_t deepest;
  uint64_t most;
  uint64_t pending;
  /* Bytes that are there: what may be reserved for on a header's word. */
  uint64_t available;
  size_t offset;
  uint64_t demand;
} tape_writer;

/* What the template calls its errors. */
enum { MSGPACK_UNPACK_PARSE_ERROR = SWMP_NO_VALUE, MSGPACK_UNPACK_NOMEM_ERROR = SWMP_TOO_DEEP };

static int grow(tape_writer *writer, uint64_t capacity) {
  if (capacity > UINT32_MAX) capacity = UINT32_MAX;
  if (capacity <= writer->capacity) return SWMP_NO_MEMORY;
  swmp_token *larger = realloc(writer->tokens, capacity * sizeof(swmp_token));
  if (!larger) return SWMP_NO_MEMORY;
  writer->tokens = larger;
  writer->capacity = (uint32_t)capacity;
  return 0;
}

/* Each token has cost its sender a byte: the tape is at most so many times as large as what was
 * received. */
static inline int put(tape_writer *writer, uint8_t kind, uint64_t value, uint32_t *object) {
  if (writer->count == writer->capacity) {
    int error = grow(writer, writer->capacity ? writer->capacity + (uint64_t)writer->capacity / 2 : 32);
    if (error) return error;
  }
  writer->tokens[writer->count] = (swmp_token){.value = value, .kind = kind};
  *object = writer->count++;
  writer->pending--;
  return 0;
}

static inline int put_bytes(tape_writer *writer, uint8_t kind, const char *base, const char *bytes, unsigned count,
                            uint32_t *object) {
  /* For an empty string the template may return the position of something else. */
  int error = put(writer, kind, count ? (uint64_t)(bytes - base) : 0, object);
  if (error) return error;
  writer->tokens[*object].extent = count;
  return 0;
}

static inline int open_container(tape_writer *writer, uint8_t kind, unsigned count, uint32_t *object) {
  uint64_t elements = kind == SWMP_MAP ? 2 * (uint64_t)count : count;
  if (writer->depth == writer->deepest) return SWMP_TOO_DEEP;
  if (writer->count + writer->pending + elements > writer->most) return SWMP_TOO_MANY;
  uint64_t wanted = elements < writer->available ? elements : writer->available;
  wanted += (uint64_t)writer->count + 1;
  if (wanted > writer->capacity && elements > 32) {
    int error = grow(writer, wanted);
    if (error) return error;
  }
  int error = put(writer, kind, count, object);
  if (error) return error;
  if (count) {
    writer->pending += elements;
    writer->depth++;
    writer->tokens[*object].extent = count;
  } else {
    writer->tokens[*object].extent = writer->count;
  }
  return 0;
}

static inline int count_element(tape_writer *writer, uint32_t container) {
  if (--writer->tokens[container].extent == 0) {
    writer->tokens[container].extent = writer->count;
    writer->depth--;
  }
  return 0;
}

#define msgpack_unpack_struct(name) struct swmp_template##name
#define msgpack_unpack_func(result, name) static inline result swmp_template##name
#define msgpack_unpack_callback(name) swmp_on##name
#define msgpack_unpack_object uint32_t
#define msgpack_unpack_user tape_writer

#define ON(name, ...) static inline int swmp_on##name(tape_writer *writer, __VA_ARGS__, uint32_t *object)
#define ON_NONE(name, kind) \
  static inline int swmp_on##name(tape_writer *writer, uint32_t *object) { return put(writer, kind, 0, object); }
#define ON_INTEGER(name, c_type) \
  ON(name, c_type value) { return put(writer, SWMP_INT, (uint64_t)(int64_t)value, object); }

static inline uint32_t swmp_on_root(tape_writer *writer) {
  (void)writer;
  return 0;
}
ON_NONE(_nil, SWMP_NIL)
ON_NONE(_true, SWMP_TRUE)
ON_NONE(_false, SWMP_FALSE)
ON_INTEGER(_uint8, uint8_t)
ON_INTEGER(_uint16, uint16_t)
ON_INTEGER(_uint32, uint32_t)
ON_INTEGER(_int8, int8_t)
ON_INTEGER(_int16, int16_t)
ON_INTEGER(_int32, int32_t)
ON_INTEGER(_int64, int64_t)
ON(_uint64, uint64_t value) { return put(writer, value > INT64_MAX ? SWMP_UINT : SWMP_INT, value, object); }
ON(_float, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return put(writer, SWMP_FLOAT, bits, object);
}
ON(_double, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return put(writer, SWMP_DOUBLE, bits, object);
}
ON(_str, const char *base, const char *bytes, unsigned count) {
  return put_bytes(writer, SWMP_STRING, base, bytes, count, object);
}
ON(_bin, const char *base, const char *bytes, unsigned count) {
  return put_bytes(writer, SWMP_BINARY, base, bytes, count, object);
}
ON(_ext, const char *base, const char *bytes, unsigned count) {
  /* The type counts as well, in 32 bits: none at all is 2^32. */
  if (count == 0) return SWMP_TOO_LONG;
  int error = put(writer, SWMP_EXTENSION, (uint64_t)(bytes + 1 - base), object);
  if (error) return error;
  writer->tokens[*object].extent = count - 1;
  writer->tokens[*object].type = (int8_t)*bytes;
  return 0;
}
ON(_array, unsigned count) { return open_container(writer, SWMP_ARRAY, count, object); }
ON(_map, unsigned count) { return open_container(writer, SWMP_MAP, count, object); }
static inline int swmp_on_array_item(tape_writer *writer, uint32_t *container, uint32_t element) {
  (void)element;
  return count_element(writer, *container);
}
static inline int swmp_on_map_item(tape_writer *writer, uint32_t *container, uint32_t key, uint32_t value) {
  (void)key;
  (void)value;
  return count_element(writer, *container);
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunused-function"
#pragma clang diagnostic ignored "-Wcast-qual"
#pragma clang diagnostic ignored "-Wconditional-uninitialized"
#include <msgpack/unpack_template.h>
#pragma clang diagnostic pop

typedef struct swmp_template_context context;

/* A waiting scan: the used part of the template's context, and room for the rest. */
struct swmp_scan {
  context context;
};

static size_t used_size(const context *context) {
  return offsetof(struct swmp_template_context, stack) + (context->top + 1) * sizeof context->stack[0];
}

/* Where the header begins that has just been refused: the template stands at its last byte. */
static uint64_t header_start(const context *context) {
  switch (context->cs) {
    case MSGPACK_CS_ARRAY_16:
    case MSGPACK_CS_MAP_16: return context->user.offset - 2;
    case MSGPACK_CS_ARRAY_32:
    case MSGPACK_CS_MAP_32:
    case MSGPACK_CS_EXT_32: return context->user.offset - 4;
    default: return context->user.offset;
  }
}

static int run(context *context, const uint8_t *bytes, size_t count) {
  tape_writer *writer = &context->user;
  size_t offset = writer->offset;
  writer->available = count - offset;
  int status = swmp_template_execute(context, (const char *)bytes, count, &offset);
  writer->offset = offset;
  if (status == SWMP_MORE) {
    writer->demand = offset + writer->pending;
    if (context->cs != MSGPACK_CS_HEADER) writer->demand += context->trail - (uint64_t)1;
  }
  return status;
}

/* A number of 1, 2, 4 or 8 bytes, the first of them the highest. */
static inline uint64_t number(const uint8_t *at, size_t size) {
  uint16_t two;
  uint32_t four;
  uint64_t eight;
  switch (size) {
    case 1: return *at;
    case 2: memcpy(&two, at, 2); return be16toh(two);
    case 4: memcpy(&four, at, 4); return be32toh(four);
    default: memcpy(&eight, at, 8); return be64toh(eight);
  }
}

/* Reads a whole value that is well-formed and within the limits, faster than the template. The template can
 * stop anywhere, so it saves its state at each byte and calls back for each token and each element. The fuzzer
 * of Fuzz/MsgPack compares the two on every run of CI. For any other input this returns 0. Then the template
 * finds the fault and its position.
 *
 * Returns the value's length, or 0. */
static size_t read_whole(tape_writer *writer, const uint8_t *bytes, size_t count) {
  /* Containers that are open, and what is still to come in each. */
  uint32_t open[SWMP_DEEPEST], depth = 0;
  uint64_t to_come[SWMP_DEEPEST];
  const uint8_t *at = bytes, *const end = bytes + count;
  swmp_token *tokens = NULL;
  uint32_t used = 0, capacity = 0;
  uint64_t pending = 1;

  for (;;) {
    if (at == end) return 0;
    if (used == capacity) {
      writer->count = used;
      if (grow(writer, capacity ? capacity + (uint64_t)capacity / 2 : 32)) return 0;
      tokens = writer->tokens;
      capacity = writer->capacity;
    }
    uint8_t head = *at++, kind;
    uint64_t value;
    size_t size, left = (size_t)(end - at);
    if (head < 0x80 || head >= 0xe0) {
      tokens[used++] = (swmp_token){.value = (uint64_t)(int64_t)(int8_t)head, .kind = SWMP_INT};
      goto done;
    }
    if (head >= 0xa0 && head < 0xc0) {
      value = head & 0x1f;
      if (left < value) return 0;
      tokens[used++] = (swmp_token){
          .value = value ? (uint64_t)(at - bytes) : 0, .extent = (uint32_t)value, .kind = SWMP_STRING};
      at += value;
      goto done;
    }
    if (head < 0x90) {
      kind = SWMP_MAP;
      value = head & 0x0f;
      goto container;
    }
    if (head < 0xa0) {
      kind = SWMP_ARRAY;
      value = head & 0x0f;
      goto container;
    }
    switch (head) {
      case 0xc0: tokens[used++] = (swmp_token){.kind = SWMP_NIL}; goto done;
      case 0xc2: tokens[used++] = (swmp_token){.kind = SWMP_FALSE}; goto done;
      case 0xc3: tokens[used++] = (swmp_token){.kind = SWMP_TRUE}; goto done;
      case 0xca:
        if (left < 4) return 0;
        tokens[used++] = (swmp_token){.value = number(at, 4), .kind = SWMP_FLOAT};
        at += 4;
        goto done;
      case 0xcb:
        if (left < 8) return 0;
        tokens[used++] = (swmp_token){.value = number(at, 8), .kind = SWMP_DOUBLE};
        at += 8;
        goto done;
      case 0xcc: case 0xcd: case 0xce: case 0xcf:
        size = (size_t)1 << (head - 0xcc);
        if (left < size) return 0;
        value = number(at, size);
        tokens[used++] = (swmp_token){.value = value, .kind = value > INT64_MAX ? SWMP_UINT : SWMP_INT};
        at += size;
        goto done;
      case 0xd0: case 0xd1: case 0xd2: case 0xd3: {
        size = (size_t)1 << (head - 0xd0);
        if (left < size) return 0;
        int unused = 64 - 8 * (int)size;
        value = (uint64_t)((int64_t)(number(at, size) << unused) >> unused);
        tokens[used++] = (swmp_token){.value = value, .kind = SWMP_INT};
        at += size;
        goto done;
      }
      case 0xc4: case 0xc5: case 0xc6: kind = SWMP_BINARY; size = (size_t)1 << (head - 0xc4); break;
      case 0xd9: case 0xda: case 0xdb: kind = SWMP_STRING; size = (size_t)1 << (head - 0xd9); break;
      case 0xdc: case 0xdd: kind = SWMP_ARRAY; size = (size_t)2 << (head - 0xdc); break;
      case 0xde: case 0xdf: kind = SWMP_MAP; size = (size_t)2 << (head - 0xde); break;
      case 0xc7: case 0xc8: case 0xc9: kind = SWMP_EXTENSION; size = (size_t)1 << (head - 0xc7); break;
      case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
        value = (uint64_t)1 << (head - 0xd4);
        kind = SWMP_EXTENSION;
        goto text;
      default: return 0;
    }
    if (left < size) return 0;
    value = number(at, size);
    at += size;
    if (kind >= SWMP_ARRAY) goto container;

  text: {
    int8_t type = 0;
    if (kind == SWMP_EXTENSION) {
      if (at == end) return 0;
      type = (int8_t)*at++;
    }
    if ((size_t)(end - at) < value) return 0;
    /* As in the template: the position of an empty string is not known. */
    uint64_t place = value || kind == SWMP_EXTENSION ? (uint64_t)(at - bytes) : 0;
    tokens[used++] = (swmp_token){.value = place, .extent = (uint32_t)value, .kind = kind, .type = type};
    at += value;
    goto done;
  }

  container: {
    uint64_t elements = kind == SWMP_MAP ? 2 * value : value;
    left = (size_t)(end - at);
    /* Each has a byte at least. */
    if (depth == writer->deepest || elements > left || used + pending + elements > writer->most) return 0;
    if (used + 1 + elements > capacity && elements > 32) {
      writer->count = used;
      if (grow(writer, used + 1 + elements)) return 0;
      tokens = writer->tokens;
      capacity = writer->capacity;
    }
    tokens[used] = (swmp_token){.value = value, .extent = used + 1, .kind = kind};
    pending += elements;
    used++;
    if (elements) {
      open[depth] = used - 1;
      to_come[depth++] = elements;
      pending--;
      continue;
    }
  }

  done:
    pending--;
    while (depth && --to_come[depth - 1] == 0) tokens[open[--depth]].extent = used;
    if (depth == 0) {
      writer->count = used;
      return (size_t)(at - bytes);
    }
  }
}

swmp_result swmp_go_on(swmp_scan **state, swmp_tape *tape, const uint8_t *bytes, size_t count, uint32_t deepest,
                       uint32_t most, bool sparing) {
  context local; /* not initialised: the stack's part of it that is not in use is large */
  context *current = &local;
  if (*state) {
    current = &(*state)->context;
  } else {
    local.user = (tape_writer){.deepest = deepest, .most = most, .pending = 1, .demand = 1};
    if (!sparing) {
      size_t length = read_whole(&local.user, bytes, count);
      if (length) {
        *tape = (swmp_tape){local.user.tokens, local.user.count};
        return (swmp_result){SWMP_COMPLETE, length};
      }
      free(local.user.tokens);
      local.user = (tape_writer){.deepest = deepest, .most = most, .pending = 1, .demand = 1};
    }
    swmp_template_init(&local);
  }
  tape_writer *writer = &current->user;

  int status = SWMP_MORE;
  if (sparing) {
    while (status == SWMP_MORE && writer->demand <= count) status = run(current, bytes, (size_t)writer->demand);
  } else {
    status = run(current, bytes, count);
  }

  if (status == SWMP_MORE) {
    if (!*state) {
      swmp_scan *scan = malloc(sizeof *scan);
      if (!scan) {
        free(writer->tokens);
        return (swmp_result){SWMP_NO_MEMORY, writer->offset};
      }
      memcpy(&scan->context, &local, used_size(&local));
      *state = scan;
    }
    return (swmp_result){SWMP_MORE, writer->demand};
  }

  swmp_result result = {status, status == SWMP_COMPLETE ? writer->offset : header_start(current)};
  if (status == SWMP_COMPLETE) {
    *tape = (swmp_tape){writer->tokens, writer->count};
  } else {
    free(writer->tokens);
  }
  free(*state);
  *state = NULL;
  return result;
}

swmp_scan *swmp_scan_copy(const swmp_scan *scan) {
  swmp_scan *copy = malloc(sizeof *copy);
  if (!copy) abort();
  memcpy(&copy->context, &scan->context, used_size(&scan->context));
  tape_writer *writer = &copy->context.user;
  if (writer->tokens) {
    writer->tokens = malloc(writer->capacity * sizeof(swmp_token));
    if (!writer->tokens) abort();
    memcpy(writer->tokens, scan->context.user.tokens, writer->count * sizeof(swmp_token));
  }
  return copy;
}

void swmp_scan_free(swmp_scan *scan) {
  free(scan->context.user.tokens);
  free(scan);
}

size_t swmp_scan_size(const swmp_scan *scan) {
  return sizeof *scan + scan->context.user.capacity * sizeof(swmp_token);
}

void swmp_tape_free(swmp_tape tape) { free(tape.tokens); }
#endif
