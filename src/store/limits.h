#pragma once
// The limits of store.h, checked by every backend.

#include <errno.h>

#include "store/store.h"

static inline int limits_check_key(Str key) {
    return key.len == 0 || key.len > STORE_MAX_KEY ? -EINVAL : 0;
}
static inline int limits_check_prefix(Str prefix, Str from) {
    return prefix.len > STORE_MAX_KEY || from.len > STORE_MAX_KEY + 1 ? -EINVAL : 0;
}
static inline int limits_check_put(Str key, const Bytes *value) {
    int error = limits_check_key(key);
    return !error && value->len > STORE_MAX_VALUE ? -EMSGSIZE : error;
}
