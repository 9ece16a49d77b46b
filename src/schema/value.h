#pragma once
// JSON as a tree in an arena: what a request body becomes, what patches and defaults work on.
// Nodes are stable in memory (a pointer to one stays good while its parent grows). Strings are
// UTF-8, may hold any byte but are checked at the border.

#include "base/arena.h"
#include "base/buf.h"

typedef enum ValueKind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,    // fits int64
    VALUE_DOUBLE, // every other number
    VALUE_STRING,
    VALUE_ARRAY,
    VALUE_OBJECT,
} ValueKind;

typedef struct Value Value;
typedef struct Member {
    Str key;
    Value *value;
} Member;

struct Value {
    ValueKind kind;
    uint32_t n, capacity; // of items or members
    union {
        bool boolean;
        int64_t integer;
        double number;
        Str string;
        Value **items;   // VALUE_ARRAY
        Member *members; // VALUE_OBJECT, in order of appearance
    };
};

// Limits that hold for every document from outside.
#define VALUE_MAX_DEPTH 100
#define VALUE_MAX_BYTES (3 * 1024 * 1024)

typedef struct ParseError {
    size_t offset, line; // line counts from 1 (YAML), 0 for JSON
    Str message;         // in the arena; worded as Go's decoder words it where tools show it
} ParseError;

// Duplicate keys: the last one wins, as in Go; each one's path is appended to `duplicates` (may be
// NULL) as "spec.containers[0].name". Strings point into `text` where they need no unescaping, so
// `text` must outlive the tree. Returns 0, -EBADMSG (with *ret_error) or -E2BIG.
typedef struct ValuePaths {
    Str *paths;
    size_t n;
} ValuePaths;
int value_parse_json(Arena *arena, Str text, ValuePaths *duplicates, Value **ret,
                     ParseError *ret_error) __attribute__((warn_unused_result));
// YAML 1.1 as sigs.k8s.io/yaml reads it (y/n/on/off booleans of YAML 1.1 only as yaml.v2 does,
// anchors and aliases with a bound on expansion, no custom tags). One document.
int value_parse_yaml(Arena *arena, Str text, ValuePaths *duplicates, Value **ret,
                     ParseError *ret_error) __attribute__((warn_unused_result));
// Compact JSON. Go's escaping of <, >, & and U+2028/9 is not imitated.
void value_write_json(const Value *value, Buf *buf);

// Building and reading. Setters replace an existing key in place. Keys and strings are not copied.
Value *value_new_null(Arena *arena);
Value *value_new_bool(Arena *arena, bool boolean);
Value *value_new_int(Arena *arena, int64_t integer);
Value *value_new_double(Arena *arena, double number);
Value *value_new_string(Arena *arena, Str string);
Value *value_new_array(Arena *arena);
Value *value_new_object(Arena *arena);
Value *value_copy(Arena *arena, const Value *value); // deep; strings are shared
bool value_equal(const Value *a, const Value *b);    // member order does not matter; 1 == 1.0

Value *value_get(const Value *object, Str key); // NULL when absent or not an object (or NULL)
void value_set(Arena *arena, Value *object, Str key, Value *value);
bool value_unset(Value *object, Str key); // true when it was there
void value_push(Arena *arena, Value *array, Value *item);
void value_remove_item(Value *array, size_t index);
// "metadata.name": plain member steps only. NULL when any step is missing.
Value *value_at(const Value *value, const char *dotted_path);
// The same, making objects on the way.
Value *value_at_make(Arena *arena, Value *value, const char *dotted_path);
Str value_string_at(const Value *value, const char *dotted_path); // STR_NONE unless a string
int64_t value_int_at(const Value *value, const char *dotted_path, int64_t otherwise);
bool value_bool_at(const Value *value, const char *dotted_path, bool otherwise);
// Shorthands for building: value_set with a new string / int / bool.
void value_set_str(Arena *arena, Value *object, Str key, Str string);
void value_set_int(Arena *arena, Value *object, Str key, int64_t integer);
void value_set_bool(Arena *arena, Value *object, Str key, bool boolean);
