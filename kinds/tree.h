#pragma once
// Short ways to walk a tree in the rules of kinds.

#include "schema/value.h"

// The number of items at a dotted path, 0 when there is no list (or map); and one of them.
static inline uint32_t tree_count(const Value *object, const char *path) {
    const Value *value = value_at(object, path);
    return value && (value->kind == VALUE_ARRAY || value->kind == VALUE_OBJECT) ? value->n : 0;
}
static inline const Value *tree_item(const Value *object, const char *path, uint32_t index) {
    const Value *value = value_at(object, path);
    return value && value->kind == VALUE_ARRAY && index < value->n ? value->items[index] : NULL;
}
// A string that is there and not "".
static inline bool tree_has_string(const Value *object, const char *path) {
    return value_string_at(object, path).len > 0;
}
static inline bool tree_is(const Value *object, const char *path, const char *text) {
    return str_eq(value_string_at(object, path), str_from(text));
}
// The string itself, "" when the value is none.
static inline Str tree_string(const Value *value) {
    return value && value->kind == VALUE_STRING ? value->string : STR("");
}
