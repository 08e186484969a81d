#include <math.h>

#include "library.h"

/* Where the next element begins. */
static inline const swmp_token *next(const swmp_token *token, const swmp_token *tokens) {
  return token->kind >= SWMP_ARRAY ? tokens + token->extent : token + 1;
}

/* Keys of binary data are read as text, as old peers send them. */
static inline bool is_text(const swmp_token *token) { return token->kind == SWMP_STRING || token->kind == SWMP_BINARY; }

static inline bool is_same(const swmp_token *left, const swmp_token *right, const uint8_t *bytes) {
  if (left->extent != right->extent) return false;
  if (is_text(left) && is_text(right)) return memcmp(bytes + left->value, bytes + right->value, left->extent) == 0;
  if (left->kind != right->kind) return false;
  return (left->kind == SWMP_INT || left->kind == SWMP_UINT) && left->value == right->value;
}

int swmp_check_keys(const swmp_token *tokens, uint32_t map, const uint8_t *bytes) {
  const swmp_token *first = tokens + map + 1;
  const swmp_token *end = tokens + tokens[map].extent;
  /* A bit for each kind of key that has been seen: only keys of the same kind are compared. */
  uint64_t seen = 0;
  int found = SWMP_KEYS_PLAIN;
  for (const swmp_token *key = first; key != end; key = next(next(key, tokens), tokens)) {
    uint64_t kind = key->value;
    if (is_text(key) && key->extent) {
      const uint8_t *text = bytes + key->value;
      kind = key->extent + text[0] * (uint64_t)7 + text[key->extent - 1] * (uint64_t)23;
      if (key->extent >= SWMP_LONG_KEY && !swmp_is_ascii(text, key->extent)) found = SWMP_KEYS_LONG;
    }
    uint64_t bit = (uint64_t)1 << (kind & 63);
    if (seen & bit) {
      for (const swmp_token *other = first; other != key; other = next(next(other, tokens), tokens)) {
        if (is_same(key, other, bytes)) return SWMP_KEYS_REPEATED;
      }
    }
    seen |= bit;
  }
  return found;
}

bool swmp_has_plain_keys(const swmp_token *tokens, uint32_t map, const uint8_t *bytes, bool of_integers) {
  uint32_t index = map + 1;
  while (index < tokens[map].extent) {
    const swmp_token *key = &tokens[index];
    if (of_integers) {
      if (key->kind != SWMP_INT) return false;
    } else if (key->kind != SWMP_STRING || !swmp_is_ascii(bytes + key->value, key->extent)) {
      return false;
    }
    /* The key is no container: its value comes next. */
    const swmp_token *value = key + 1;
    index = value->kind >= SWMP_ARRAY ? value->extent : index + 2;
  }
  return true;
}

uint32_t swmp_find_string(const swmp_token *tokens, const uint8_t *bytes, uint32_t map, uint32_t hint, const void *key,
                          size_t count) {
  const swmp_token *first = tokens + map + 1;
  const swmp_token *end = tokens + tokens[map].extent;
  const swmp_token *start = hint > map && hint < tokens[map].extent ? tokens + hint : first;
  for (int round = 0; round < 2; round++) {
    for (const swmp_token *at = start; at != end; at = next(at + 1, tokens)) {
      if (at->kind >= SWMP_ARRAY) {
        at = next(at, tokens) - 1;
        continue;
      }
      if (is_text(at) && at->extent == count && memcmp(bytes + at->value, key, count) == 0) {
        return (uint32_t)(at - tokens);
      }
    }
    if (start == first) break;
    end = start;
    start = first;
  }
  return UINT32_MAX;
}

uint32_t swmp_find_integer(const swmp_token *tokens, uint32_t map, int64_t key) {
  const swmp_token *end = tokens + tokens[map].extent;
  for (const swmp_token *at = tokens + map + 1; at != end; at = next(next(at, tokens), tokens)) {
    if (at->kind == SWMP_INT && (int64_t)at->value == key) return (uint32_t)(at - tokens);
  }
  return UINT32_MAX;
}

static inline double real(const swmp_token *token) {
  if (token->kind == SWMP_FLOAT) {
    uint32_t bits = (uint32_t)token->value;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
  }
  double value;
  memcpy(&value, &token->value, sizeof value);
  return value;
}

bool swmp_read_int64(const swmp_token *tokens, size_t count, int64_t *into) {
  for (size_t i = 0; i < count; i++) {
    if (tokens[i].kind != SWMP_INT) return false;
    into[i] = (int64_t)tokens[i].value;
  }
  return true;
}

bool swmp_read_int32(const swmp_token *tokens, size_t count, int32_t *into) {
  for (size_t i = 0; i < count; i++) {
    int64_t value = (int64_t)tokens[i].value;
    if (tokens[i].kind != SWMP_INT || value != (int32_t)value) return false;
    into[i] = (int32_t)value;
  }
  return true;
}

bool swmp_read_double(const swmp_token *tokens, size_t count, double *into) {
  for (size_t i = 0; i < count; i++) {
    if (tokens[i].kind == SWMP_INT) {
      int64_t value = (int64_t)tokens[i].value;
      if (value < -((int64_t)1 << 53) || value > (int64_t)1 << 53) return false;
      into[i] = (double)value;
    } else if (tokens[i].kind == SWMP_FLOAT || tokens[i].kind == SWMP_DOUBLE) {
      into[i] = real(&tokens[i]);
    } else {
      return false;
    }
  }
  return true;
}

/* A number of double precision becomes the nearest; a finite one that becomes infinite is left to the caller. */
bool swmp_read_float(const swmp_token *tokens, size_t count, float *into) {
  for (size_t i = 0; i < count; i++) {
    if (tokens[i].kind == SWMP_FLOAT) {
      uint32_t bits = (uint32_t)tokens[i].value;
      memcpy(&into[i], &bits, sizeof bits);
    } else if (tokens[i].kind == SWMP_DOUBLE) {
      double value = real(&tokens[i]);
      into[i] = (float)value;
      if (isinf(into[i]) && !isinf(value)) return false;
    } else {
      return false;
    }
  }
  return true;
}
