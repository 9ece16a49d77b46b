#pragma once
// "25%" or 3, of a total, as intstr.GetScaledValueFromIntOrPercent reads it.

#include "schema/value.h"

// `otherwise` when `value` is neither (NULL, or a string that is no percentage).
static inline int64_t int_or_percent(const Value *value, int64_t total, bool rounds_up,
                                     int64_t otherwise) {
    int64_t percent;
    if (value && value->kind == VALUE_INT)
        return value->integer;
    if (!value || value->kind != VALUE_STRING || !str_ends_with(value->string, STR("%")) ||
        str_to_i64(str_slice(value->string, 0, value->string.len - 1), &percent) != 0 ||
        percent < 0 || percent > INT32_MAX)
        return otherwise;
    return (percent * total + (rounds_up ? 99 : 0)) / 100;
}
