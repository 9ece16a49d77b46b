#pragma once
// Sets of field paths, the currency of server-side apply, and their JSON form FieldsV1:
//   {"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{}}}}}
// A path element is kept as FieldsV1 writes it: "f:NAME" a member, "k:{...}" the item of a
// list-map, "v:VALUE" the item of a set.

#include "schema/value.h"

typedef struct FieldNode FieldNode;
typedef struct FieldSet {
    FieldNode *nodes; // ordered by element
    uint32_t n, capacity;
} FieldSet;
struct FieldNode {
    Str element;
    bool member; // the path that ends here is in the set
    FieldSet children;
};

// The child of that name, NULL when there is none; field_set_make() makes it.
FieldNode *field_set_find(const FieldSet *set, Str element);
FieldNode *field_set_make(Arena *arena, FieldSet *set, Str element);
bool field_set_is_empty(const FieldSet *set); // no members, however deep
// All take any set, also an empty one ({0}), and share nothing with what they were given.
FieldSet field_set_union(Arena *arena, const FieldSet *a, const FieldSet *b);
FieldSet field_set_intersection(Arena *arena, const FieldSet *a, const FieldSet *b);
FieldSet field_set_difference(Arena *arena, const FieldSet *a, const FieldSet *b);
bool field_set_equal(const FieldSet *a, const FieldSet *b);

// FieldsV1. Whatever is no object is an empty set.
FieldSet field_set_from_value(Arena *arena, const Value *fields);
Value *field_set_to_value(Arena *arena, const FieldSet *set);

// A path element as people read it: .name, [name="a"], [=1].
Str field_set_readable(Arena *arena, Str element);
// Calls `fn` for each member with its path as people read it: .spec.containers[name="a"].image
void field_set_each(Arena *arena, const FieldSet *set, void (*fn)(void *user, Str path),
                    void *user);
