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

Value *cell_string(const CellInput *input, Str text); // NULL text becomes ""
Value *cell_age(const CellInput *input, Str time);    // "<unknown>" when there is no time

// table_pod.c
Value *cell_pod_ready(const CellInput *input);
Value *cell_pod_status(const CellInput *input);
Value *cell_pod_restarts(const CellInput *input);
Value *cell_pod_ip(const CellInput *input);
Value *cell_pod_readiness_gates(const CellInput *input);
