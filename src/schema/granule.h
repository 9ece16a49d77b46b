#pragma once
// What server-side apply knows of a value: whether it is one piece or has parts that are owned one
// by one, and what its parts are. The rules are those of sigs.k8s.io/structured-merge-diff, its
// "schema" is our Type.

#include "schema/field_set.h"
#include "schema/type.h"

typedef enum GranuleKind {
    GRANULE_SCALAR,
    GRANULE_STRUCT,  // an object of `type`
    GRANULE_MAP,     // an object with any keys; values are items of `field`
    GRANULE_LIST,    // items are items of `field`
    GRANULE_DEDUCED, // free form: objects have parts, lists are one piece
} GranuleKind;
typedef struct Granule {
    GranuleKind kind;
    bool atomic;
    const Type *type;
    const Field *field;
    const struct Schema
        *schema; // of custom kinds, in place of type or field, or of the rest of the type
} Granule;

Granule granule_of_type(const Type *type);
Granule granule_of_member(Granule owner, Str key); // of an object
Granule granule_of_item(Granule list);
bool granule_names(Granule owner, Str key); // whether `key` is a declared field
// Whether the value (of either side, may be NULL) is an object, or a list, that has parts.
bool granule_has_members(Granule granule, const Value *value);
bool granule_has_items(Granule granule, const Value *value);
// The path element of a list's item; STR_NONE when the item has no identity.
Str granule_item_element(Arena *arena, Granule list, const Value *item);
static inline Str granule_member_element(Arena *arena, Str key) {
    return arena_printf(arena, "f:%.*s", STR_ARG(key));
}

// Every field that `value` sets.
FieldSet granule_fields(Arena *arena, Granule granule, const Value *value);
// Adds the declared fields on the way to members.
FieldSet granule_ensure_named(Arena *arena, Granule granule, const FieldSet *set);
typedef struct GranuleChanges {
    FieldSet added, modified, removed;
} GranuleChanges;
GranuleChanges granule_compare(Arena *arena, Granule granule, const Value *before,
                               const Value *after);
// False with *ret_message when a list in `config` has an item twice or one without identity.
bool granule_check(Arena *arena, Granule granule, const Value *config, Str *ret_message);
// `live` with what `config` sets on top, in the order of `config`, which has passed the check. A new
// tree.
Value *granule_merge(Arena *arena, Granule granule, const Value *live, const Value *config);
// `value` without the members and items in `set`; NULL when nothing is left. Changes it in place.
Value *granule_remove(Arena *arena, Granule granule, Value *value, const FieldSet *set);
