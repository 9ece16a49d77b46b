#pragma once
// Positions in a list by the value of one key of its items (or by the items themselves), so that
// merging long lists is not quadratic.

#include "base/map.h"
#include "schema/value.h"

typedef struct ListIndex {
    const Value *list;
    Str key;  // of the items; empty: the items themselves count
    Map *map; // NULL while the list is short
} ListIndex;

ListIndex list_index(const Value *list, Str key); // `list` may be NULL: empty
void list_index_deinit(ListIndex *index);
#define _list_index_deinit_ __attribute__((cleanup(list_index_deinit)))
// The first item whose key equals `value`; -1 when none does. `value` may be NULL (none).
ptrdiff_t list_index_find(const ListIndex *index, const Value *value);
// Call after `list` has got another item at its end.
void list_index_added(ListIndex *index);
