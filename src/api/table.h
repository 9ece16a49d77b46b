#pragma once
// metav1.Table: what `kubectl get` prints. Columns and simple cells come from kinds/; the rest are the cell functions of
// table.c and printers*.c. https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables

#include "schema/type.h"
#include "schema/value.h"

typedef enum TableInclude { TABLE_METADATA, TABLE_NONE, TABLE_OBJECT } TableInclude; // ?includeObject=

// A Table tree of `n` objects. `list_metadata` (may be NULL) becomes its metadata. `columns`: false leaves the column definitions
// out (every watch event but the first). `now`: Unix ns, for ages.
Value *table_render(Arena *arena, const Resource *resource, const Value *const *objects, size_t n, const Value *list_metadata,
                    TableInclude include, bool columns, int64_t now);
