#pragma once
// metadata.managedFields, decoded.

#include "schema/apply.h"
#include "schema/field_set.h"

typedef struct Manager {
    Str name, operation, api_version, subresource; // operation: "Apply" or "Update"
    Str time;                                      // as it stands in the entry; STR_NONE: none
    FieldSet fields;
} Manager;
typedef struct Managers {
    Manager *items;
    size_t n, capacity;
} Managers;

// False when an entry is not a valid one (then `ret` is empty).
bool managers_decode(Arena *arena, const Value *object, Managers *ret);
// Writes metadata.managedFields in upstream's order; nothing to write removes it.
void managers_encode(Arena *arena, const Managers *managers, Value *object);
// The entry that counts as the same manager: name, operation, subresource and, for updates,
// version.
Manager *managers_find(const Managers *managers, const Manager *like);
Manager *managers_add(Arena *arena, Managers *managers, Manager manager);
void managers_sort_by_name(Managers *managers);
void managers_drop_empty(Managers *managers);
// At most ten managers of updates are kept apart; the oldest are joined as "ancient-changes".
void managers_cap(Arena *arena, Managers *managers);
