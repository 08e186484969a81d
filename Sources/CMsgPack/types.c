#include <stdatomic.h>

#include "CMsgPack.h"

#define TABLE_SIZE 1024

static _Atomic uintptr_t table[TABLE_SIZE];

/* Metadata of generic types lies close together, in steps of 8 and more. */
static inline _Atomic uintptr_t *entry(uintptr_t address) {
  return &table[((address >> 4) ^ (address >> 14)) % TABLE_SIZE];
}

uint8_t swmp_type_kind(uintptr_t address) {
  uintptr_t found = atomic_load_explicit(entry(address), memory_order_relaxed);
  return (found & ~(uintptr_t)7) == address ? (uint8_t)(found & 7) : 0;
}

void swmp_set_type_kind(uintptr_t address, uint8_t kind) {
  if ((address & 7) == 0) atomic_store_explicit(entry(address), address | kind, memory_order_relaxed);
}
