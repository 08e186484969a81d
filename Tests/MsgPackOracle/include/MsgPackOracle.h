/* msgpack-c's own unpacker and packers, for tests to compare with. */
#ifndef MSGPACKORACLE_H
#define MSGPACKORACLE_H

#include <stddef.h>
#include <stdint.h>

/* What msgpack_unpack_next says of the bytes: 2 a value, 0 not yet, -1 no
 * value, -2 deeper than the library goes (32) or more than memory holds. `length`: how long the value
 * is. `packed`, if it is not NULL: the value as msgpack_pack_object writes it, to be freed. */
int oracle_unpack(const uint8_t *_Nullable bytes, size_t count, size_t *_Nonnull length,
                  uint8_t *_Nullable *_Nullable packed, size_t *_Nullable packed_count);
void oracle_free(uint8_t *_Nullable packed);

#endif
