#pragma once
// Between trees and the generated C structs (kinds/kinds.h, generated), which actors read:
// `pod->spec.node_name`. Structs live in an arena and are short-lived.
//
// How a field looks in C (the name in snake_case; C keywords get a trailing underscore):
//   string bytes(decoded) duration quantity   Str            (ptr NULL when absent)
//   time, micro time                          int64_t        Unix nanoseconds, 0 when absent
//   bool int32 int64 double                   the plain type, 0 when absent
//   the same behind a Go pointer (FIELD_POINTER)   const T *  NULL when absent
//   int-or-string                             IntOrString
//   object                                    embedded struct; behind a Go pointer: T *
//   raw                                       const Value *
//   list                                      LIST(T)
//   map of string, bytes, quantity, duration  StrMap
//   map of anything else                      MAP(T)
//   inline                                    the embedded type's members, in place

#include "schema/type.h"
#include "schema/value.h"

typedef struct IntOrString {
    bool is_string;
    bool is_set;
    int32_t integer;
    Str string;
} IntOrString;
typedef struct StrMap {
    Str *keys, *values;
    size_t len;
} StrMap;
#define LIST(T)                                                                                    \
    struct {                                                                                       \
        T *items;                                                                                  \
        size_t len;                                                                                \
    }
#define MAP(T)                                                                                     \
    struct {                                                                                       \
        Str *keys;                                                                                 \
        T *items;                                                                                  \
        size_t len;                                                                                \
    }

// `ret` must be type->struct_size bytes; it is overwritten. The tree (or text) must outlive it.
// Unknown fields are ignored; quantities and durations are taken as they are. Returns 0 or
// SCHEMA_E_TYPE (schema/check.h).
int typed_from_value(Arena *arena, const Type *type, const Value *value, void *ret)
    __attribute__((warn_unused_result));
// Straight from JSON bytes, without a tree in between but for raw fields. A member that comes twice
// is decoded twice into the same place. Also -EBADMSG and -E2BIG.
int typed_from_json(Arena *arena, const Type *type, Str json, void *ret)
    __attribute__((warn_unused_result));
// What is empty is left out, as Go's omitempty leaves it out, unless the table says ALWAYS.
Value *typed_to_value(Arena *arena, const Type *type, const void *object);
void typed_write_json(const Type *type, const void *object, Buf *buf);
Str str_map_get(const StrMap *map, Str key); // STR_NONE when absent
