#pragma once
// Cell functions of tables: one per name in kinds/README.md.

#include "schema/value.h"

typedef struct CellInput {
    Arena *arena;
    const Value *object;
    const Value *field; // at the column's path, or NULL
    int64_t now;        // Unix ns
} CellInput;
typedef Value *(*CellFunction)(const CellInput *input);

CellFunction table_cell_function(Str name); // NULL when there is none of that name

typedef struct CellEntry {
    Str name;
    CellFunction function;
} CellEntry;
CellFunction cell_find(const CellEntry *table, size_t n, Str name); // NULL when absent
CellFunction table_storage_cell(Str name);                          // table_storage.c
CellFunction table_cluster_cell(Str name);                          // table_cluster.c
CellFunction table_workload_cell(Str name);                         // table_workload.c

Value *cell_string(const CellInput *input, Str text); // NULL text becomes ""
Value *cell_age(const CellInput *input, Str time);    // "<unknown>" when there is no time

uint32_t cell_count(const Value *list);     // items of a list or map; 0 for anything else
Str cell_text(const CellInput *input);      // the string at the column's path, or STR_NONE

// A list of words, joined when it is complete; `otherwise` when it stays empty.
typedef struct Words {
    Arena *arena;
    Str *items;
    size_t n, capacity;
} Words;
void words_add(Words *words, Str word);
void words_sort(Words *words);
Str words_join(const Words *words, Str separator, Str otherwise);

// table_pod.c
Value *cell_pod_ready(const CellInput *input);
Value *cell_pod_status(const CellInput *input);
Value *cell_pod_restarts(const CellInput *input);
Value *cell_pod_ip(const CellInput *input);
Value *cell_pod_readiness_gates(const CellInput *input);
