/* The invariant: however bytes are cut, the scanner finds the value that msgpack-c's own unpacker finds
 * in them, just as long, or refuses where it refuses; and what is written from the tape is what
 * msgpack-c's own packer writes of its objects. A broken invariant traps, and libFuzzer writes down the
 * input. */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "CMsgPack.h"

#define DEEPEST 1024
#define MOST (1u << 20)

#define ALWAYS(claim) \
  do { \
    if (!(claim)) __builtin_trap(); \
  } while (0)

/* Writes the value at a token, and gives the next. */
static uint32_t write_token(const swmp_tape *tape, uint32_t index, const uint8_t *bytes, swmp_sink *sink) {
  const swmp_token *token = &tape->tokens[index];
  float single;
  double number;
  uint32_t bits;
  switch (token->kind) {
    case SWMP_NIL: swmp_write_nil(sink); break;
    case SWMP_FALSE: swmp_write_bool(sink, false); break;
    case SWMP_TRUE: swmp_write_bool(sink, true); break;
    case SWMP_INT: swmp_write_int(sink, (int64_t)token->value); break;
    case SWMP_UINT: swmp_write_uint(sink, token->value); break;
    case SWMP_FLOAT:
      bits = (uint32_t)token->value;
      /* The library's objects hold doubles: a signalling not-a-number becomes a quiet one on the way. */
      if ((bits & 0x7f800000) == 0x7f800000 && (bits & 0x007fffff)) bits |= 0x00400000;
      memcpy(&single, &bits, sizeof single);
      swmp_write_float(sink, single);
      break;
    case SWMP_DOUBLE:
      memcpy(&number, &token->value, sizeof number);
      swmp_write_double(sink, number);
      break;
    case SWMP_STRING: swmp_write_string(sink, bytes + token->value, token->extent); break;
    case SWMP_BINARY: swmp_write_binary(sink, bytes + token->value, token->extent); break;
    case SWMP_EXTENSION: swmp_write_extension(sink, token->type, bytes + token->value, token->extent); break;
    default: {
      size_t place = swmp_open(sink);
      uint32_t next = index + 1;
      uint64_t elements = token->kind == SWMP_MAP ? 2 * token->value : token->value;
      for (uint64_t i = 0; i < elements; i++) next = write_token(tape, next, bytes, sink);
      ALWAYS(next == token->extent);
      swmp_close(sink, place, token->value, token->kind == SWMP_MAP);
      return next;
    }
  }
  return index + 1;
}

static void check_cuts(const uint8_t *bytes, size_t count, swmp_result whole, const swmp_tape *expected) {
  for (size_t step = 0; step < 3; step++) {
    /* In what is asked for; byte by byte; in chunks, from copies of the scan. */
    swmp_scan *scan = NULL;
    swmp_tape tape = {0};
    size_t there = 1;
    uint64_t before = 1;
    swmp_result result = {SWMP_MORE, 1};
    while (result.status == SWMP_MORE && there <= count) {
      if (step == 2 && scan) {
        swmp_scan *copy = swmp_scan_copy(scan);
        swmp_scan_free(scan);
        scan = copy;
      }
      result = swmp_go_on(&scan, &tape, bytes, there, DEEPEST, MOST, true);
      if (result.status != SWMP_MORE) break;
      ALWAYS(result.offset > there && result.offset >= before);
      before = result.offset;
      uint64_t more = step == 0 ? result.offset - there : step == 1 ? 1 : 1 + bytes[0] % 13;
      if (there + more > count && there < count) more = count - there;
      there += more;
    }
    if (scan) swmp_scan_free(scan);
    if (whole.status == SWMP_COMPLETE) {
      ALWAYS(result.status == SWMP_COMPLETE && result.offset == whole.offset && tape.count == expected->count);
      ALWAYS(memcmp(tape.tokens, expected->tokens, tape.count * sizeof(swmp_token)) == 0);
      swmp_tape_free(tape);
    } else if (whole.status == SWMP_MORE) {
      ALWAYS(result.status == SWMP_MORE && result.offset <= whole.offset);
    } else {
      /* A bad byte behind what has been asked for is not looked at. */
      ALWAYS(result.status == whole.status ? result.offset == whole.offset : result.status == SWMP_MORE);
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
  if (count == 0) return 0;
  swmp_scan *scan = NULL;
  swmp_tape tape = {0};
  swmp_result whole = swmp_go_on(&scan, &tape, bytes, count, DEEPEST, MOST, false);
  if (scan) swmp_scan_free(scan);
  check_cuts(bytes, count, whole, &tape);

  /* The unpacker reserves for what is declared; and it does not know our limits. */
  int is_modest = whole.status == SWMP_COMPLETE || whole.status == SWMP_NO_VALUE ||
                  (whole.status == SWMP_MORE && whole.offset < count + MOST);
  if (is_modest) {
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t length = 0;
    int status = msgpack_unpack_next(&unpacked, (const char *)bytes, count, &length);
    if (status == MSGPACK_UNPACK_NOMEM_ERROR) {
      /* Deeper than 32. */
    } else if (whole.status == SWMP_COMPLETE) {
      ALWAYS(status == MSGPACK_UNPACK_SUCCESS || status == MSGPACK_UNPACK_EXTRA_BYTES);
      ALWAYS(length == whole.offset);
      msgpack_sbuffer packed;
      msgpack_sbuffer_init(&packed);
      msgpack_packer packer;
      msgpack_packer_init(&packer, &packed, msgpack_sbuffer_write);
      msgpack_pack_object(&packer, unpacked.data);
      swmp_sink sink = {0};
      write_token(&tape, 0, bytes, &sink);
      ALWAYS(sink.count == packed.size && memcmp(sink.bytes, packed.data, sink.count) == 0);
      swmp_sink_free(&sink);
      msgpack_sbuffer_destroy(&packed);
    } else {
      ALWAYS(status == (whole.status == SWMP_MORE ? MSGPACK_UNPACK_CONTINUE : MSGPACK_UNPACK_PARSE_ERROR));
    }
    msgpack_unpacked_destroy(&unpacked);
  }
  if (whole.status == SWMP_COMPLETE) swmp_tape_free(tape);
  return 0;
}
