#pragma once
// How one field's value lies in a C struct; shared by the directions of typed.h.

#include "schema/type.h"
#include "schema/typed.h"

typedef LIST(void) SlotList; // any LIST(T): the pointer and the length lie alike
typedef MAP(void) SlotMap;   // any MAP(T) and StrMap

// Bytes of one item of a list or a map, or of the value itself without a pointer.
size_t slot_item_size(const Field *field);
// Whether a plain (SHAPE_ONE) field is held through a pointer that shows absence.
bool slot_is_pointer(const Field *field);
// Whether the fields that a StrMap can hold.
bool slot_is_str_map(const Field *field);
// Stores a scalar (not an object, not raw) at `slot`. Returns 0 or SCHEMA_E_TYPE. Null leaves it
// alone.
int slot_store(Arena *arena, const Field *field, const Value *value, void *slot)
    __attribute__((warn_unused_result));
// Where to decode a plain field to: `slot` itself or what its pointer is made to point at.
void *slot_target(Arena *arena, const Field *field, void *slot);
