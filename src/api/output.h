#pragma once
// Objects in the form a client asked for: as they are, as a Table, as metadata only,
// pretty-printed.

#include "api/request.h"

// Compact JSON, or two spaces per level as Go's encoder prints it.
void output_write(const Value *value, bool pretty, Buf *buf);
// From the version at rest to the one that is served (in place; kind and apiVersion are set), and
// back.
Value *output_from_storage(Arena *arena, const ServedResource *served, Value *object);
Value *output_to_storage(Arena *arena, const ServedResource *served, Value *object);
// What the answer's body is. On failure NULL with *ret_status.
Value *output_object(ApiRequest *request, const ServedResource *served, Value *object,
                     const ApiStatus **ret_status);
// PartialObjectMetadata of one object.
Value *output_partial(Arena *arena, Str meta_version, const Value *object);
// Table of some objects; `columns`: with column definitions (a watch sends them once).
Value *output_table(ApiRequest *request, Arena *arena, const ServedResource *served,
                    const Value *const *objects, size_t n, Value *list_metadata, bool columns);
