#pragma once
// Kubernetes resource quantities ("100m", "128Mi", "1e3"): parse, compare, print in canonical form.
// https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/

#include "base/arena.h"

typedef enum QuantityFormat {
    QUANTITY_DECIMAL_SI,
    QUANTITY_BINARY_SI,
    QUANTITY_DECIMAL_EXPONENT
} QuantityFormat;

// Exact down to 1e-9 (what is finer is rounded away from zero). As upstream does, binary quantities
// are capped at 2^63-1; decimal ones, which upstream leaves without bound, at 1e29.
typedef struct Quantity {
    __int128 nano; // value * 1e9
    QuantityFormat format;
} Quantity;

int quantity_parse(Str text, Quantity *ret) __attribute__((warn_unused_result)); // 0 or -EINVAL
Str quantity_format(Arena *arena, Quantity quantity);                            // canonical
int quantity_cmp(Quantity a, Quantity b);
Quantity quantity_add(Quantity a, Quantity b); // format of `a` unless `a` is zero
Quantity quantity_sub(Quantity a, Quantity b);
// Rounded away from zero, capped at what 64 bits hold.
int64_t quantity_value(Quantity quantity);       // units
int64_t quantity_milli_value(Quantity quantity); // thousandths
// To thousandths, away from zero: what the API's defaulting does to a ResourceList.
Quantity quantity_round_milli(Quantity quantity);
Quantity quantity_from_int(int64_t value, QuantityFormat format);
