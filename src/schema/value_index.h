#pragma once
// Look-up by key in one object that is about to be asked many times. Small objects are searched in
// order, large ones through a hash table, so that no request can make us do quadratic work.

#include "schema/value.h"

typedef struct ValueIndex {
    const Value *object;
    uint32_t *table; // 1 + position; NULL while the object is small
    size_t size;
} ValueIndex;

// `object` may be NULL or no object: then nothing is found. It must not lose or reorder members
// meanwhile; appended members have to be announced.
ValueIndex value_index(const Value *object);
void value_index_deinit(ValueIndex *index);
#define _value_index_deinit_ __attribute__((cleanup(value_index_deinit)))
Member *value_index_find(const ValueIndex *index, Str key); // NULL when absent
// value_set(): replaces or appends.
void value_index_set(Arena *arena, ValueIndex *index, Value *object, Str key, Value *value);
