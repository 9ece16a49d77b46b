#pragma once
// The contract of store.h as one suite over every backend. Each file adds its tests to the table.

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "harness.h"

typedef struct Contract {
    const char *name;
    void (*run)(Harness *h);
} Contract;

const Contract *contract_records(size_t *ret_n); // get, put, remove, range, limits
const Contract *contract_history(size_t *ret_n); // old revisions, compaction, bounds
const Contract *contract_watches(size_t *ret_n); // watches and sync
const Contract *contract_orders(size_t *ret_n);  // many in flight, volatile, close
