#include "MsgPackOracle.h"

#if !__has_include(<msgpack.h>)
#error "The tests need msgpack-c. On Debian: apt-get install libmsgpack-dev (12) or libmsgpack-c-dev (13)"
#endif

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

int oracle_unpack(const uint8_t *bytes, size_t count, size_t *length, uint8_t **packed, size_t *packed_count) {
  msgpack_unpacked unpacked;
  msgpack_unpacked_init(&unpacked);
  *length = 0;
  int result = msgpack_unpack_next(&unpacked, (const char *)bytes, count, length);
  if (result > 0 && packed && packed_count) {
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer packer;
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_object(&packer, unpacked.data);
    *packed = malloc(buffer.size ? buffer.size : 1);
    if (*packed && buffer.size) memcpy(*packed, buffer.data, buffer.size);
    *packed_count = buffer.size;
    msgpack_sbuffer_destroy(&buffer);
  }
  msgpack_unpacked_destroy(&unpacked);
  return result;
}

void oracle_free(uint8_t *packed) { free(packed); }
